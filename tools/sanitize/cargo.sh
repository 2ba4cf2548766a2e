#!/bin/sh
# cargo with AddressSanitizer, on a Rust that allows it. usage: cargo.sh COMMAND ARGUMENT...
# With --target, what runs while building (build.rs, macros) is left as it is.
set -eu
host=$(rustc -vV | sed -n 's/^host: //p')
command=$1
shift
export RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes --cfg sanitized"
export CARGO_PROFILE_DEV_OPT_LEVEL=1 # some speed, but every assertion
exec cargo "$command" --quiet --locked --target "$host" --target-dir target/sanitize "$@"

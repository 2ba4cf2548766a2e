#!/bin/sh
# Build AddressSanitizer's runtime as a library to preload, and pinwire as what needs it.
# usage: build.sh PYTHON, with a Rust that allows -Zsanitizer in the environment
set -eu
out=target/sanitize
mkdir -p $out
host=$(rustc -vV | sed -n 's/^host: //p')

# rustc links the runtime into executables only. One that is called libasan.so refuses to start:
# it would take itself for another compiler's.
cp "$(rustc --print target-libdir)"/librustc-*_rt.asan.a $out/runtime.a
ar d $out/runtime.a asan_preinit.cpp.o
cc -shared -fPIC -o $out/asan-runtime.so tools/sanitize/runtime.c \
	-Wl,--whole-archive $out/runtime.a -Wl,--no-whole-archive -lpthread -ldl -lrt -lm -lgcc_s

PYO3_PYTHON=$1 PYO3_BUILD_EXTENSION_MODULE=1 \
	tools/sanitize/cargo.sh build --lib
rm -rf $out/site
cp -r tools/sanitize/site $out/site
cp -r python/pinwire $out/site/pinwire
cp $out/"$host"/debug/libpinwire.so $out/site/pinwire/_core.abi3.so

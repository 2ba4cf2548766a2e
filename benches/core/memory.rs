//! What the memory layer costs beside the system calls it serves.
#![allow(unsafe_code, missing_docs)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pinwire::mem::{Access, Copying, Cursor, Dim, Region, Runs};

const MIB: usize = 1024 * 1024;

fn cursor(runs: Runs, copying: Copying) -> Cursor {
    let mut cursor = Cursor::new(Access::Read);
    cursor.push(runs, copying).unwrap();
    cursor
}

/// Take all of it, `step` bytes at a time.
fn drain(mut cursor: Cursor, step: usize) {
    while cursor.left() > 0 {
        let offered: usize = cursor.window(usize::MAX).iter().map(|region| region.len).sum();
        cursor.advance(offered.min(step));
    }
    black_box(cursor.packed());
}

fn memory(c: &mut Criterion) {
    let mut memory = vec![0u8; 8 * MIB];
    let base = memory.as_mut_ptr();
    let whole = Region { base, len: 64 };
    // SAFETY: all of these lie in `memory`, which outlives them.
    let contiguous = || unsafe { Runs::contiguous(whole) };
    // SAFETY: as above.
    let rows = || unsafe { Runs::new(base, 1, &[Dim::direct(1024, 8192), Dim::direct(4096, 1)]) };
    let transposed = || {
        let dims = [Dim::direct(1024, 8), Dim::direct(1024, 8192)];
        // SAFETY: as above.
        unsafe { Runs::new(base, 8, &dims) }
    };

    c.bench_function("cursor/contiguous 64 B", |b| {
        b.iter(|| drain(cursor(contiguous(), Copying::Allowed), usize::MAX));
    });
    c.bench_function("runs/1024 rows of 4 KiB, in pieces of 64 KiB", |b| {
        b.iter(|| drain(cursor(rows().unwrap(), Copying::Allowed), 64 * 1024));
    });
    let mut group = c.benchmark_group("pack");
    group.throughput(Throughput::Bytes(8 * MIB as u64));
    group.bench_function("transposed float64 1024 x 1024", |b| {
        b.iter_batched(
            || cursor(transposed().unwrap(), Copying::Allowed),
            |cursor| drain(cursor, usize::MAX),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, memory);
criterion_main!(benches);

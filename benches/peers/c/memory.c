/* What messages hold, and what moving them costs. */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

static double own_seconds;
static double cpu_at_begin, cpu_seconds;
static long resident_at_begin, peak_bytes;

static double clock_seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

double now(void) { return clock_seconds(CLOCK_MONOTONIC); }

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static double cpu_now(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static long status_bytes(const char *field) {
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, field, strlen(field))) kib = atol(line + strlen(field) + 1);
    if (file) fclose(file);
    return kib < 0 ? -1 : kib * 1024;
}

void meter_begin(void) {
    /* Makes VmHWM start again from what is resident now (proc_pid_clear_refs(5)). */
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file) fputs("5", file), fclose(file);
    resident_at_begin = status_bytes("VmRSS");
    own_seconds = 0;
    cpu_at_begin = cpu_now();
}

void meter_end(void) {
    cpu_seconds = cpu_now() - cpu_at_begin - own_seconds;
    peak_bytes = status_bytes("VmHWM") - resident_at_begin;
}

void print_costs(void) {
    printf("\"cpu_seconds\": %.9f, \"peak_bytes\": %ld", cpu_seconds, peak_bytes);
}

static uint64_t word(uint64_t number, size_t index) {
    uint64_t x = (index + number * 0x9E3779B97F4A7C15ull) * 0xD6E8FEB86659FD93ull;
    return index ? x ^ (x >> 32) : number;
}

void *landing(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) fail("aligned_alloc");
    memset(memory, POISON, bytes);
    return memory;
}

void *landing_in(size_t bytes, int advice) {
    size_t page = 2 << 20, whole = (bytes + page - 1) / page * page;
    void *memory = aligned_alloc(page, whole);
    if (!memory) fail("aligned_alloc");
    if (madvise(memory, whole, advice)) fail("madvise");
    memset(memory, POISON, bytes);
    return memory;
}

/* Sizes are multiples of eight. */
void fill(void *memory, size_t bytes, uint64_t number) {
    double began = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    for (size_t i = 0; i < bytes / 8; i++) ((uint64_t *)memory)[i] = word(number, i);
    own_seconds += clock_seconds(CLOCK_THREAD_CPUTIME_ID) - began;
}

int matches(const void *memory, size_t bytes, uint64_t number) {
    double began = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    int same = 1;
    for (size_t i = 0; i < bytes / 8; i++) same &= ((uint64_t *)memory)[i] == word(number, i);
    own_seconds += clock_seconds(CLOCK_THREAD_CPUTIME_ID) - began;
    return same;
}

void poison(void *memory, size_t bytes) {
    double began = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    memset(memory, POISON, bytes);
    own_seconds += clock_seconds(CLOCK_THREAD_CPUTIME_ID) - began;
}

uint64_t number_in(const void *memory) { return *(const uint64_t *)memory; }

/* Many connections: a thread for each, on both sides. */
#include "common.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct task {
    const struct workload *work;
    int fd, index;
    char *memory;
    double seconds;
};

static pthread_barrier_t start;
static double began;

static void *receive(void *argument) {
    struct task *task = argument;
    for (int i = 0; i < task->work->count; i++) {
        recv_all(task->fd, task->memory + i * task->work->size, task->work->size);
        send_all(task->fd, "a", 1);
    }
    return NULL;
}

static void *request(void *argument) {
    struct task *task = argument;
    char ack;
    pthread_barrier_wait(&start);
    for (int i = 0; i < task->work->count; i++) {
        send_all(task->fd, task->memory + i * task->work->size, task->work->size);
        recv_all(task->fd, &ack, 1);
    }
    task->seconds = now() - began;
    return NULL;
}

static pthread_t spawn(void *(*run)(void *), struct task *task) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    if (pthread_create(&thread, &attributes, run, task)) fail("pthread_create");
    return thread;
}

void serve_many(const struct workload *work, int listener) {
    int n = work->connections, verified = 1;
    size_t each = work->size * work->count;
    char *memory = landing(each * n);
    struct task *tasks = calloc(n, sizeof *tasks);
    pthread_t *threads = calloc(n, sizeof *threads);
    meter_begin();
    for (int i = 0; i < n; i++) {
        tasks[i] = (struct task){work, accepted(listener, work), i, memory + i * each, 0};
        threads[i] = spawn(receive, &tasks[i]);
    }
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
    meter_end();
    /* Connections are accepted in any order: the first message of each says which it is. */
    char *seen = calloc(n, 1);
    for (int i = 0; i < n; i++) {
        uint64_t first = number_in(tasks[i].memory);
        if (first % work->count || first / work->count >= (uint64_t)n) verified = 0;
        else verified &= !seen[first / work->count]++;
        for (int j = 0; j < work->count; j++)
            verified &= matches(tasks[i].memory + j * work->size, work->size, first + j);
    }
    printf("{\"verified\": %s, ", verified ? "true" : "false");
    print_costs();
    puts("}");
}

void drive_many(const struct workload *work, const char *name) {
    int n = work->connections;
    size_t each = work->size * work->count;
    char *memory = landing(each * n);
    struct task *tasks = calloc(n, sizeof *tasks);
    pthread_t *threads = calloc(n, sizeof *threads);
    pthread_barrier_init(&start, NULL, n + 1);
    for (int i = 0; i < n; i++) {
        tasks[i] = (struct task){work, connected(work, name), i, memory + i * each, 0};
        for (int j = 0; j < work->count; j++)
            fill(tasks[i].memory + j * work->size, work->size, (uint64_t)i * work->count + j);
        threads[i] = spawn(request, &tasks[i]);
    }
    meter_begin();
    began = now();
    pthread_barrier_wait(&start);
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
    double seconds = now() - began;
    meter_end();
    printf("{\"seconds\": %.9g, \"per_connection\": [", seconds);
    for (int i = 0; i < n; i++) printf("%s%.9g", i ? ", " : "", tasks[i].seconds);
    printf("], ");
    print_costs();
    puts("}");
}

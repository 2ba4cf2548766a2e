/* The C contestant: loop serve|drive kind transport size count connections sockbuf warm-ups [name].
 *
 * A server prints its name in a line of its own, then, as a client does, its result as JSON.
 * "loop ready transport size batch batches" times send(2) calls that never wait.
 */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char GO = 'g', ACK = 'a';

_Noreturn void fail(const char *what) {
    perror(what);
    exit(1);
}

static void expect(int fd, char sign) {
    char came = 0;
    recv_all(fd, &came, 1);
    if (came != sign) fail("protocol");
}

static void print_server(int verified) {
    meter_end();
    printf("{\"verified\": %s, ", verified ? "true" : "false");
    print_costs();
    puts("}");
}

static void print_client(const char *key, const double *values, int count, int verified) {
    meter_end();
    printf("{\"verified\": %s, \"%s\": [", verified ? "true" : "false", key);
    for (int i = 0; i < count; i++) printf("%s%.9g", i ? ", " : "", values[i]);
    printf("], ");
    print_costs();
    puts("}");
}

static void serve_ping(const struct workload *work, int fd) {
    void *memory = landing(work->size);
    meter_begin();
    for (int i = 0; i < work->count; i++) {
        recv_all(fd, memory, work->size);
        send_all(fd, memory, work->size);
    }
    print_server(1);
}

static void drive_ping(const struct workload *work, int fd) {
    uint64_t *out = landing(work->size), *back = landing(work->size);
    double *times = calloc(work->count, sizeof *times);
    int verified = 1;
    fill(out, work->size, 0);
    meter_begin();
    for (int i = 0; i < work->count; i++) {
        out[0] = i;
        uint64_t began = now_ns();
        send_all(fd, out, work->size);
        recv_all(fd, back, work->size);
        times[i] = now_ns() - began;
        verified &= !memcmp(out, back, work->size);
    }
    print_client("latencies_ns", times, work->count, verified);
}

/* Bulk is one part; a gathered message is a header and a hundred. */
struct message {
    struct iovec parts[1 + PARTS], left[1 + PARTS];
    int count;
};

/* As NumPy has it, which asks for huge pages from 4 MiB on, where that is compared; or without. */
static void *memory_for(const struct workload *work, size_t bytes) {
    if (!strcmp(work->kind, "same-host-pages")) return landing_in(bytes, MADV_NOHUGEPAGE);
    if (strcmp(work->kind, "same-host") || bytes < 4 << 20) return landing(bytes);
    return landing_in(bytes, MADV_HUGEPAGE);
}

static void allocate(struct message *message, const struct workload *work) {
    int gathers = !strcmp(work->kind, "gather");
    message->count = gathers ? 1 + PARTS : 1;
    for (int i = 0; i < message->count; i++) {
        size_t bytes = !gathers ? work->size : i ? PART : HEADER;
        message->parts[i] = (struct iovec){memory_for(work, bytes), bytes};
    }
}

static void serve_messages(const struct workload *work, int fd) {
    static struct message message;
    int verified = 1;
    allocate(&message, work);
    for (int i = 0; i < work->warm_ups + work->count; i++) {
        if (i == work->warm_ups) meter_begin();
        for (int p = 0; p < message.count; p++)
            poison(message.parts[p].iov_base, message.parts[p].iov_len);
        memcpy(message.left, message.parts, sizeof message.parts);
        send_all(fd, &GO, 1);
        if (message.count == 1) recv_all(fd, message.parts[0].iov_base, work->size);
        else recvmsg_all(fd, message.left, message.count);
        send_all(fd, &ACK, 1);
        for (int p = 0; p < message.count; p++)
            verified &= matches(message.parts[p].iov_base, message.parts[p].iov_len,
                                (uint64_t)i * message.count + p);
    }
    print_server(verified);
}

static void drive_messages(const struct workload *work, int fd) {
    static struct message message;
    double *times = calloc(work->count, sizeof *times);
    allocate(&message, work);
    for (int i = 0; i < work->warm_ups + work->count; i++) {
        if (i == work->warm_ups) meter_begin();
        for (int p = 0; p < message.count; p++)
            fill(message.parts[p].iov_base, message.parts[p].iov_len,
                 (uint64_t)i * message.count + p);
        memcpy(message.left, message.parts, sizeof message.parts);
        expect(fd, GO);
        double began = now();
        if (message.count == 1) send_all(fd, message.parts[0].iov_base, work->size);
        else sendmsg_all(fd, message.left, message.count);
        expect(fd, ACK);
        if (i >= work->warm_ups) times[i - work->warm_ups] = now() - began;
    }
    print_client("seconds", times, work->count, 1);
}

static void ready(char **argv) {
    struct workload work = {.transport = argv[2], .size = atol(argv[3])};
    int batch = atoi(argv[4]), batches = atoi(argv[5]);
    char name[128], *out = landing(work.size), *drain = landing(batch * work.size);
    int listener = listening(&work, name, sizeof name), fd = connected(&work, name);
    int peer = accepted(listener, &work);
    printf("[");
    for (int i = 0; i < batches; i++) {
        uint64_t began = now_ns();
        for (int j = 0; j < batch; j++)
            if (send(fd, out, work.size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)work.size)
                fail("send");
        printf("%s%.2f", i ? ", " : "", (double)(now_ns() - began) / batch);
        recv_all(peer, drain, batch * work.size);
    }
    puts("]");
}

int main(int argc, char **argv) {
    if (argc == 6 && !strcmp(argv[1], "ready")) return ready(argv), 0;
    if (argc < 9) return fputs("see the top of main.c\n", stderr), 2;
    struct workload work = {
        .kind = argv[2], .transport = argv[3], .size = atol(argv[4]),
        .count = atoi(argv[5]), .connections = atoi(argv[6]), .sockbuf = atoi(argv[7]),
        .warm_ups = atoi(argv[8]),
    };
    int many = !strcmp(work.kind, "many"), ping = !strcmp(work.kind, "ping");
    alarm(120); /* Nobody waits longer, should the benchmark itself be killed. */
    if (!strcmp(argv[1], "serve")) {
        char name[128];
        int listener = listening(&work, name, sizeof name);
        puts(name);
        fflush(stdout);
        if (many) serve_many(&work, listener);
        else (ping ? serve_ping : serve_messages)(&work, accepted(listener, &work));
    } else if (many) drive_many(&work, argv[9]);
    else (ping ? drive_ping : drive_messages)(&work, connected(&work, argv[9]));
    return 0;
}

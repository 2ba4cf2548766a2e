/* What the parts of the C contestant share. Anything unexpected ends the program with a reason. */
#ifndef COMMON_H
#define COMMON_H

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { HEADER = 64, PART = 64 * 1024, PARTS = 100, POISON = 0xAA };

struct workload {
    const char *kind, *transport;
    size_t size;
    int count, connections, sockbuf, warm_ups;
};

/* sockets.c: a name is "127.0.0.1:port" or "@abstract". */
int listening(const struct workload *work, char *name, size_t capacity);
int accepted(int listener, const struct workload *work);
int connected(const struct workload *work, const char *name);
void send_all(int fd, const void *from, size_t bytes);
void recv_all(int fd, void *into, size_t bytes);
void sendmsg_all(int fd, struct iovec *parts, int count);
void recvmsg_all(int fd, struct iovec *parts, int count);

/* memory.c: costs between the two calls, without the time spent in fill and matches. */
void meter_begin(void);
void meter_end(void);
void print_costs(void);
double now(void);
uint64_t now_ns(void);

/* memory.c: messages, different for every number. */
void *landing(size_t bytes);
void *landing_in(size_t bytes, int advice); /* as landing; pages as madvise(2) is told */
void fill(void *memory, size_t bytes, uint64_t number);
int matches(const void *memory, size_t bytes, uint64_t number);
void poison(void *memory, size_t bytes);
uint64_t number_in(const void *memory);

/* many.c */
void serve_many(const struct workload *work, int listener);
void drive_many(const struct workload *work, const char *name);

_Noreturn void fail(const char *what);

#endif

/* Blocking sockets: how they are opened, and the loops that move every byte. */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int is_unix(const struct workload *work) { return !strcmp(work->transport, "unix"); }

static int open_socket(const struct workload *work) {
    int fd = socket(is_unix(work) ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) fail("socket");
    if (!is_unix(work)) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (work->sockbuf) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &work->sockbuf, sizeof work->sockbuf);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &work->sockbuf, sizeof work->sockbuf);
    }
    return fd;
}

static socklen_t unix_address(struct sockaddr_un *address, const char *name) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "%s", name + 1);
    return offsetof(struct sockaddr_un, sun_path) + strlen(name);
}

int listening(const struct workload *work, char *name, size_t capacity) {
    int fd = open_socket(work);
    if (is_unix(work)) {
        struct sockaddr_un address;
        snprintf(name, capacity, "@pinwire-bench-c-%d", getpid());
        socklen_t length = unix_address(&address, name);
        if (bind(fd, (struct sockaddr *)&address, length)) fail("bind");
    } else {
        struct sockaddr_in address = {.sin_family = AF_INET};
        socklen_t length = sizeof address;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (bind(fd, (struct sockaddr *)&address, length)) fail("bind");
        getsockname(fd, (struct sockaddr *)&address, &length);
        snprintf(name, capacity, "127.0.0.1:%d", ntohs(address.sin_port));
    }
    if (listen(fd, 4096)) fail("listen");
    return fd;
}

int accepted(int listener, const struct workload *work) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
    if (fd < 0) fail("accept");
    if (!is_unix(work)) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* Over TCP the sizes come from the listener; a unix socket starts with the system's. */
    if (work->sockbuf && is_unix(work)) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &work->sockbuf, sizeof work->sockbuf);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &work->sockbuf, sizeof work->sockbuf);
    }
    return fd;
}

int connected(const struct workload *work, const char *name) {
    int fd = open_socket(work), failed;
    if (is_unix(work)) {
        struct sockaddr_un address;
        socklen_t length = unix_address(&address, name);
        failed = connect(fd, (struct sockaddr *)&address, length);
    } else {
        struct sockaddr_in address = {.sin_family = AF_INET};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(atoi(strchr(name, ':') + 1));
        failed = connect(fd, (struct sockaddr *)&address, sizeof address);
    }
    if (failed) fail("connect");
    return fd;
}

void send_all(int fd, const void *from, size_t bytes) {
    for (const char *at = from; bytes;) {
        ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("send");
        at += n, bytes -= n;
    }
}

void recv_all(int fd, void *into, size_t bytes) {
    for (char *at = into; bytes;) {
        ssize_t n = recv(fd, at, bytes, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) fail("recv");
        at += n, bytes -= n;
    }
}

/* Leaves `parts` at what is still to be moved; how many of them are done is the result. */
static int advance(struct iovec *parts, int count, size_t moved) {
    int done = 0;
    while (done < count && moved >= parts[done].iov_len) moved -= parts[done++].iov_len;
    if (done < count) {
        parts[done].iov_base = (char *)parts[done].iov_base + moved;
        parts[done].iov_len -= moved;
    }
    return done;
}

void sendmsg_all(int fd, struct iovec *parts, int count) {
    while (count) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("sendmsg");
        int done = advance(parts, count, n);
        parts += done, count -= done;
    }
}

void recvmsg_all(int fd, struct iovec *parts, int count) {
    while (count) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t n = recvmsg(fd, &message, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) fail("recvmsg");
        int done = advance(parts, count, n);
        parts += done, count -= done;
    }
}

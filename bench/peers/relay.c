/* The floor of a relay between two UNIX sockets: one thread, one level-triggered epoll.
   splice: splice(2) through a pipe for each direction; the senders cannot pass fds.
   copy:   recv(2) and send(2), the same.
   fds:    recvmsg(2) and sendmsg(2); fds are passed on with the byte that they came with.
   record=FILE: as copy, and each piece is written to FILE with its time and its size. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#define LARGE (256 * 1024) /* one read, and a pipe */
#define SMALL 4096         /* peeked with its bytes */
#define CONTROL CMSG_SPACE(253 * sizeof(int))

/* Bytes, with the fds that belong to the first of them. */
struct piece {
    size_t size, control_size;
    char control[CONTROL];
    char *bytes;
};
struct end {
    int fd;
    unsigned events;
    struct direction *in, *out;
};
struct direction {
    struct pair *pair;
    struct end *from, *to;
    int pipe[2];
    size_t queued;      /* bytes in the pipe or in `held` */
    struct piece *held; /* what a send did not take */
    bool is_full, is_eof, is_over;
};
struct pair {
    struct end client, target;
    struct direction to_target, to_client;
    struct pair *next_closed;
    bool is_closed;
};

static bool splices, passes_fds;
static int epoll;
static char bytes[LARGE];
static struct pair *closed;
static FILE *recording;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* How many bytes can be read before any fd comes; 0 is EOF. A peek without room for control data says that fds are
   queued, anywhere. Where it takes all that is queued, or what was queued before it, no fd is among those bytes. */
static ssize_t free_of_fds(int fd) {
    struct iovec part = {bytes, SMALL};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t count = recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT);
    int queued;
    if (count == SMALL && !(message.msg_flags & MSG_CTRUNC) && !ioctl(fd, FIONREAD, &queued)) {
        part.iov_len = 1;
        count = recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT) < 0 ? -1 : queued;
    }
    /* One byte at a time until they come. */
    return count > 0 && message.msg_flags & MSG_CTRUNC ? 1 : count;
}

static ssize_t receive(int fd, struct piece *piece) {
    ssize_t most = LARGE;
    piece->control_size = 0;
    if (passes_fds && (most = free_of_fds(fd)) <= 0)
        return most;
    if (!passes_fds || most > 1)
        return recv(fd, bytes, most < LARGE ? most : LARGE, MSG_DONTWAIT);
    struct iovec part = {bytes, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = piece->control, .msg_controllen = CONTROL};
    ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    piece->control_size = message.msg_controllen;
    return count;
}

static void close_fds(struct piece *piece) {
    struct msghdr message = {.msg_control = piece->control, .msg_controllen = piece->control_size};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
            close(((int *)CMSG_DATA(c))[i]);
    piece->control_size = 0;
}

/* False on an error. */
static bool put(struct direction *d, struct piece *piece) {
    struct iovec part = {piece->bytes, piece->size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = piece->control_size ? piece->control : NULL,
                             .msg_controllen = piece->control_size};
    ssize_t sent = sendmsg(d->to->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return false;
    if (sent > 0) {
        close_fds(piece);
        piece->bytes += sent;
        piece->size -= sent;
    }
    d->queued = piece->size;
    d->is_full = d->queued;
    return true;
}

static void record(const char *bytes, size_t size) {
    struct {
        struct timespec time;
        size_t size;
    } head = {.size = size};
    clock_gettime(CLOCK_REALTIME, &head.time);
    if (fwrite(&head, sizeof head, 1, recording) != 1 || fwrite(bytes, size, 1, recording) != 1)
        fail("fwrite");
}

/* Each of the next two moves what there is, once; false once the direction cannot go on. */
static bool copy(struct direction *d) {
    if (d->held) {
        if (!put(d, d->held))
            return false;
        if (!d->queued) {
            free(d->held);
            d->held = NULL;
        }
        return true;
    }
    static struct piece piece;
    ssize_t count = receive(d->from->fd, &piece);
    if (count <= 0) {
        d->is_eof = !count;
        return !count || errno == EAGAIN;
    }
    piece.bytes = bytes;
    piece.size = count;
    if (recording)
        record(bytes, count);
    if (!put(d, &piece))
        return false;
    if (d->queued) {
        d->held = malloc(sizeof piece + piece.size);
        *d->held = piece;
        d->held->bytes = memcpy(d->held + 1, piece.bytes, piece.size);
    }
    return true;
}

static bool splice_through(struct direction *d) {
    unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
    if (!d->is_full && !d->is_eof) {
        ssize_t count = splice(d->from->fd, NULL, d->pipe[1], NULL, LARGE, flags);
        if (count < 0 && errno != EAGAIN)
            return false;
        d->is_eof = !count;
        if (count > 0)
            d->queued += count;
        else if (count < 0 && d->queued)
            d->is_full = true;
    }
    if (d->queued) {
        ssize_t count = splice(d->pipe[0], NULL, d->to->fd, NULL, d->queued, flags);
        if (count < 0)
            return errno == EAGAIN;
        d->queued -= count;
        d->is_full = false;
    }
    return true;
}

static void wait_for(struct end *end) {
    unsigned events = 0;
    if (!end->in->is_full && !end->in->is_eof)
        events |= EPOLLIN;
    if (end->out->queued)
        events |= EPOLLOUT;
    struct epoll_event event = {.events = events, .data.ptr = end};
    if (events != end->events && epoll_ctl(epoll, EPOLL_CTL_MOD, end->fd, &event))
        fail("epoll_ctl");
    end->events = events;
}

static void close_pair(struct pair *pair) {
    struct direction *directions[] = {&pair->to_target, &pair->to_client};
    for (int i = 0; i < 2; i++) {
        struct direction *d = directions[i];
        close(d->from->fd);
        if (splices)
            close(d->pipe[0]), close(d->pipe[1]);
        if (d->held)
            close_fds(d->held);
        free(d->held);
    }
    pair->is_closed = true;
    pair->next_closed = closed;
    closed = pair;
}

static void handle(struct end *end, unsigned events) {
    struct direction *ready[] = {events & EPOLLOUT ? end->out : NULL,
                                 events & ~EPOLLOUT && !end->in->is_eof && !end->in->is_full ? end->in : NULL};
    struct pair *pair = end->in->pair;
    /* It was closed at the other end; what is queued for it would be lost anyway. */
    bool is_over = events & (EPOLLHUP | EPOLLERR) && end->in->is_eof;
    for (int i = 0; i < 2 && !is_over; i++) {
        struct direction *d = ready[i];
        if (!d)
            continue;
        is_over = !(splices ? splice_through(d) : copy(d));
        if (d->is_eof && !d->queued && !d->is_over) {
            d->is_over = true;
            shutdown(d->to->fd, SHUT_WR);
        }
    }
    if (is_over || (pair->to_target.is_over && pair->to_client.is_over)) {
        close_pair(pair);
        return;
    }
    wait_for(&pair->client);
    wait_for(&pair->target);
}

static void join(int client, const struct sockaddr_un *address) {
    struct pair *pair = calloc(1, sizeof *pair);
    int target = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!passes_fds)
        setsockopt(target, SOL_SOCKET, SO_PASSRIGHTS, &(int){0}, sizeof(int));
    if (!pair || target < 0 || connect(target, (struct sockaddr *)address, sizeof *address))
        fail("connect");
    fcntl(target, F_SETFL, O_NONBLOCK);
    pair->client = (struct end){client, EPOLLIN, &pair->to_target, &pair->to_client};
    pair->target = (struct end){target, EPOLLIN, &pair->to_client, &pair->to_target};
    pair->to_target = (struct direction){.pair = pair, .from = &pair->client, .to = &pair->target};
    pair->to_client = (struct direction){.pair = pair, .from = &pair->target, .to = &pair->client};
    struct end *ends[] = {&pair->client, &pair->target};
    for (int i = 0; i < 2; i++) {
        int *pipe = ends[i]->in->pipe;
        /* A smaller pipe does, too. */
        if (splices && (pipe2(pipe, O_NONBLOCK | O_CLOEXEC) || (fcntl(pipe[0], F_SETPIPE_SZ, LARGE), 0)))
            fail("pipe");
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = ends[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, ends[i]->fd, &event))
            fail("epoll_ctl");
    }
}

int main(int argc, char **argv) {
    const char *file = argc == 4 && !strncmp(argv[1], "record=", 7) ? argv[1] + 7 : NULL;
    if (argc != 4 || (!file && strcmp(argv[1], "splice") && strcmp(argv[1], "copy") && strcmp(argv[1], "fds"))) {
        fprintf(stderr, "usage: relay splice|copy|fds|record=FILE PATH TARGET\n");
        return 2;
    }
    if (file && (!(recording = fopen(file, "w")) || setvbuf(recording, NULL, _IOFBF, 1 << 20)))
        fail(file);
    splices = !strcmp(argv[1], "splice");
    passes_fds = !strcmp(argv[1], "fds");
    signal(SIGPIPE, SIG_IGN); /* splice(2) has no MSG_NOSIGNAL */
    struct sockaddr_un address = {.sun_family = AF_UNIX}, target = address;
    strncpy(address.sun_path, argv[2], sizeof address.sun_path - 1);
    strncpy(target.sun_path, argv[3], sizeof target.sun_path - 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (!passes_fds)
        setsockopt(listener, SOL_SOCKET, SO_PASSRIGHTS, &(int){0}, sizeof(int));
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        fail(argv[2]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, ready[256];
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
        fail("epoll");
    for (;;) {
        int count = epoll_wait(epoll, ready, 256, -1);
        for (int i = 0; i < count; i++) {
            struct end *end = ready[i].data.ptr;
            if (!end) {
                int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (client >= 0)
                    join(client, &target);
            } else if (!end->in->pair->is_closed) {
                handle(end, ready[i].events);
            }
        }
        /* Not before: events of theirs may have come with others. */
        while (closed) {
            struct pair *next = closed->next_closed;
            free(closed);
            closed = next;
        }
    }
}

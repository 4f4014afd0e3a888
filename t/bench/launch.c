/*
 * What a sandbox costs: times of CREATE, ADOPT and DESTROY one after the other,
 * again with idle gaps (a quiet server), and sandboxes a second with N in flight.
 * Usage: launch SOCKET [ROUNDS] [GAP_MS] [IN_FLIGHT]
 * The launcher at SOCKET must let this user connect; nothing is asserted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "executor/launcher/wire.h"

#define MAX_ROUNDS 100000
#define MAX_FDS 4

union message {
    struct launch_head head;
    struct launch_hello hello;
    struct launch_create create;
    struct launch_adopt adopt;
    struct launch_error error;
    char bytes[512];
};

static int server;
static uint64_t seq;
static uint64_t times[4][MAX_ROUNDS];

static uint64_t
now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void
post(union message *m, size_t size, enum launch_type type, uint64_t sandbox)
{
    m->head = (struct launch_head){
        .type = (uint16_t)type, .size = (uint16_t)size, .seq = ++seq, .sandbox = sandbox
    };
    if (send(server, m, size, MSG_NOSIGNAL) != (ssize_t)size) {
        perror("send");
        exit(1);
    }
}

static int kept[MAX_FDS] = { -1, -1, -1, -1 };

/* The agent ends when its socket is closed, so the last sandbox's descriptors stay until the next. */
static void
keep(const int *fds)
{
    for (int i = 0; i < MAX_FDS; i++) {
        if (kept[i] >= 0) {
            close(kept[i]);
        }
        kept[i] = fds[i];
    }
}

/* The next answer; events are passed over. */
static void
take(union message *m)
{
    char control[CMSG_SPACE(sizeof(int) * MAX_FDS)];
    int fds[MAX_FDS];

    do {
        struct iovec iov = { m, sizeof(*m) };
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        struct cmsghdr *cmsg;

        if (recvmsg(server, &msg, MSG_CMSG_CLOEXEC) <= 0) {
            (void)fputs("the launcher closed the connection\n", stderr);
            exit(1);
        }
        cmsg = CMSG_FIRSTHDR(&msg);
        if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS) {
            memcpy(fds, CMSG_DATA(cmsg), sizeof(fds));
            keep(fds);
        }
    } while (m->head.type == LAUNCH_ENDED);
    if (m->head.type == LAUNCH_ERROR) {
        (void)fprintf(stderr, "error %d: %s\n", m->error.error, m->error.stage);
        exit(1);
    }
}

static void
post_create(void)
{
    union message m = { 0 };

    memcpy(m.create.template_name, "default", sizeof("default"));
    m.create.isolation = SBX_ISOLATION_PROCESS;
    post(&m, sizeof(m.create), LAUNCH_CREATE, 0);
}

static void
post_adopt(uint64_t id)
{
    union message m = { 0 };

    m.adopt.limits = (struct launch_limits){ 256u << 20, 64u << 20, 10000, 10000, 1000, 64 };
    post(&m, sizeof(m.adopt), LAUNCH_ADOPT, id);
}

static int
by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void
print_row(const char *name, uint64_t *values, long n)
{
    qsort(values, (size_t)n, sizeof(*values), by_value);
    printf("  %-8s p50 %6llu  p95 %6llu  p99 %6llu  max %6llu us\n", name, (unsigned long long)values[n / 2],
           (unsigned long long)values[n * 95 / 100], (unsigned long long)values[n * 99 / 100],
           (unsigned long long)values[n - 1]);
}

static void
serial(long rounds, long gap_ms)
{
    static const char *const names[] = { "create", "adopt", "destroy", "all" };
    const struct timespec gap = { .tv_sec = gap_ms / 1000, .tv_nsec = gap_ms % 1000 * 1000000 };

    for (long i = 0; i < rounds; i++) {
        union message m = { 0 };
        uint64_t at[4], id;

        at[0] = now_us();
        post_create();
        take(&m);
        id = m.head.sandbox;
        at[1] = now_us();
        post_adopt(id);
        take(&m);
        at[2] = now_us();
        post(&m, sizeof(m.head), LAUNCH_DESTROY, id);
        take(&m);
        at[3] = now_us();
        for (int k = 0; k < 3; k++) {
            times[k][i] = at[k + 1] - at[k];
        }
        times[3][i] = at[3] - at[0];
        if (gap_ms > 0) {
            nanosleep(&gap, NULL);
        }
    }
    for (int k = 0; k < 4; k++) {
        print_row(names[k], times[k], rounds);
    }
}

static void
saturate(long rounds, long in_flight)
{
    uint64_t begin = now_us();
    long asked = 0, done = 0;

    while (asked < in_flight && asked < rounds) {
        post_create();
        asked++;
    }
    while (done < rounds) {
        union message m = { 0 };

        take(&m);
        if (m.head.type == LAUNCH_CREATED) {
            post(&m, sizeof(m.head), LAUNCH_DESTROY, m.head.sandbox);
        } else if (m.head.type == LAUNCH_DESTROYED) {
            done++;
            if (asked < rounds) {
                post_create();
                asked++;
            }
        }
    }
    printf("%ld in flight: %.0f create+destroy a second\n", in_flight,
           (double)rounds * 1e6 / (double)(now_us() - begin));
}

int
main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 500;
    long gap_ms = argc > 3 ? strtol(argv[3], NULL, 10) : 20;
    long in_flight = argc > 4 ? strtol(argv[4], NULL, 10) : 4;
    union message m = { 0 };

    if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS) {
        (void)fputs("Usage: launch SOCKET [ROUNDS] [GAP_MS] [IN_FLIGHT]\n", stderr);
        return 2;
    }
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
    server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof(address)) < 0) {
        perror("connect");
        return 1;
    }
    m.hello.version = LAUNCH_WIRE_VERSION;
    post(&m, sizeof(m.hello), LAUNCH_HELLO, 0);
    take(&m);
    puts("one after the other");
    serial(rounds, 0);
    printf("with gaps of %ld ms\n", gap_ms);
    serial(rounds < 200 ? rounds : 200, gap_ms);
    saturate(rounds, in_flight);
    return 0;
}

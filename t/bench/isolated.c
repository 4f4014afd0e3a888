/*
 * The floor of a job on demand: a sandbox made for it, adopted, and /bin/true run in it by the agent, at the socket of a launcher that
 * serves executord meanwhile. Timed until the agent has said how it ended; the sandbox is destroyed after that. Prints one line as
 * t/bench/load does.
 * Usage: isolated SOCKET COUNT SECONDS GAP_US [SAMPLES]
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "executor/launcher/wire.h"

#define MAX_COUNT 100000
#define FRAME_HEAD 12 /* lib/sbx_mux.h */
#define FRAME_OPEN 1
#define FRAME_END 6

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
static uint32_t times[MAX_COUNT];

static _Noreturn void
die(const char *what)
{
    (void)fprintf(stderr, "isolated: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t
now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The answer's descriptors go to fds, which the caller closes. */
static void
ask(union message *m, size_t size, enum launch_type type, uint64_t sandbox, int *fds)
{
    char control[CMSG_SPACE(sizeof(int) * LAUNCH_N_FDS)];

    m->head = (struct launch_head){
        .type = (uint16_t)type, .size = (uint16_t)size, .seq = ++seq, .sandbox = sandbox
    };
    if (send(server, m, size, MSG_NOSIGNAL) != (ssize_t)size) {
        die("send");
    }
    do {
        struct iovec iov = { m, sizeof(*m) };
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        struct cmsghdr *cmsg;

        if (recvmsg(server, &msg, MSG_CMSG_CLOEXEC) <= 0) {
            die("the launcher closed the connection");
        }
        cmsg = CMSG_FIRSTHDR(&msg);
        if (fds != NULL && cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS &&
            cmsg->cmsg_len == CMSG_LEN(sizeof(int) * LAUNCH_N_FDS)) {
            memcpy(fds, CMSG_DATA(cmsg), sizeof(int) * LAUNCH_N_FDS);
        }
    } while (m->head.type == LAUNCH_ENDED);
    if (m->head.type == LAUNCH_ERROR) {
        (void)fprintf(stderr, "isolated: error %d: %s\n", m->error.error, m->error.stage);
        exit(1);
    }
}

static void
read_whole(int fd, char *into, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, into, len);

        if (n <= 0) {
            die("the agent closed the connection");
        }
        into += n;
        len -= (size_t)n;
    }
}

static void
attach(int fd)
{
    static const char request[] = "POST /v1/attach HTTP/1.1\r\nHost: a\r\nContent-Type: "
                                  "application/json\r\nContent-Length: 2\r\n\r\n{}";
    char reply[1024];
    size_t len = 0;

    if (write(fd, request, sizeof(request) - 1) != sizeof(request) - 1) {
        die("attach");
    }
    /* Not one byte of what follows. */
    while (len < 4 || memcmp(reply + len - 4, "\r\n\r\n", 4) != 0) {
        if (len == sizeof(reply)) {
            die("attach");
        }
        read_whole(fd, reply + len++, 1);
    }
    if (strncmp(reply, "HTTP/1.1 200 ", 13) != 0) {
        (void)fprintf(stderr, "isolated: attach: %.*s\n", (int)len, reply);
        exit(1);
    }
}

static uint32_t
word(const char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

/* Runs /bin/true on channel 1 to its end. */
static void
run_true(int fd)
{
    static const char open[] = "{\"op\":\"exec\",\"argv\":[\"/bin/true\"]}";
    char frame[FRAME_HEAD + sizeof(open) - 1] = { 1, 0, 0, 0, sizeof(open) - 1, 0, 0, 0, FRAME_OPEN };
    char head[FRAME_HEAD], body[8192];

    memcpy(frame + FRAME_HEAD, open, sizeof(open) - 1);
    if (write(fd, frame, sizeof(frame)) != (ssize_t)sizeof(frame)) {
        die("exec");
    }
    do {
        read_whole(fd, head, sizeof(head));
        if (word(head + 4) >= sizeof(body)) {
            die("frame");
        }
        read_whole(fd, body, word(head + 4));
        body[word(head + 4)] = '\0';
    } while (head[8] != FRAME_END);
    if (strstr(body, "\"exit_code\":0") == NULL) {
        (void)fprintf(stderr, "isolated: %s\n", body);
        exit(1);
    }
}

static uint32_t
once(void)
{
    union message m = { 0 };
    int fds[LAUNCH_N_FDS] = { -1, -1, -1, -1 };
    uint64_t id, start = now_us(), took;

    memcpy(m.create.template_name, "default", sizeof("default"));
    m.create.isolation = SBX_ISOLATION_PROCESS;
    ask(&m, sizeof(m.create), LAUNCH_CREATE, 0, fds);
    id = m.head.sandbox;
    memset(&m, 0, sizeof(m));
    m.adopt.limits = (struct launch_limits){ 256u << 20, 64u << 20, 30000, 30000, 1000, 128 };
    ask(&m, sizeof(m.adopt), LAUNCH_ADOPT, id, NULL);
    attach(fds[0]);
    run_true(fds[0]);
    took = now_us() - start;
    ask(&m, sizeof(m.head), LAUNCH_DESTROY, id, NULL);
    for (int i = 0; i < LAUNCH_N_FDS; i++) {
        close(fds[i]);
    }
    return (uint32_t)took;
}

static int
compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, n = 0;
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 0;
    useconds_t gap_us = argc > 4 ? (useconds_t)strtoul(argv[4], NULL, 10) : 0;
    union message m = { 0 };
    uint64_t begin;
    FILE *out;

    if (argc < 5 || count < 1 || count > MAX_COUNT || seconds <= 0) {
        (void)fputs("usage: isolated SOCKET COUNT SECONDS GAP_US [SAMPLES]\n", stderr);
        return 2;
    }
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
    server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof(address)) < 0) {
        die(argv[1]);
    }
    prctl(PR_SET_TIMERSLACK, 1);
    m.hello.version = LAUNCH_WIRE_VERSION;
    ask(&m, sizeof(m.hello), LAUNCH_HELLO, 0, NULL);
    begin = now_us();
    do {
        if (gap_us > 0) {
            usleep(gap_us);
        }
        times[n++] = once();
    } while (n < count && (double)(now_us() - begin) < seconds * 1e6);
    out = argc > 5 ? fopen(argv[5], "ab") : NULL;
    if (argc > 5 && (out == NULL || fwrite(times, sizeof(*times), n, out) != n || fclose(out) != 0)) {
        die(argv[5]);
    }
    qsort(times, n, sizeof(*times), compare);
#define AT(p) times[(size_t)((double)(n - 1) * (p))]
    printf("n=%lu errors=0 p50_us=%u p95_us=%u p99_us=%u max_us=%u per_second=%.1f cpu_us=0\n", n, AT(0.5),
           AT(0.95), AT(0.99), AT(1.0), (double)n * 1e6 / (double)(now_us() - begin));
    return 0;
}

/*
 * Times one-shot runs: an HTTP request on a kept connection, or a command, from
 * N workers in closed loop. Prints one line:
 *   NAME n=… errors=… p50_us=… p95_us=… p99_us=… max_us=… per_second=…
 *
 *   oneshot NAME COUNT WORKERS GAP-US http PORT REQUEST-FILE EXPECT
 *   oneshot NAME COUNT WORKERS GAP-US exec COMMAND [ARG ...]
 *
 * GAP-US is a pause between two requests of one worker, not counted: a quiet
 * server behaves otherwise than a busy one. EXPECT must occur in each answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_REPLY (1 << 20)

extern char **environ;

struct bench {
    unsigned count, gap_us;
    bool http;
    uint16_t port;
    char *request;
    size_t request_len;
    const char *expect;
    char **argv;
    uint64_t *sample;
    atomic_uint next, errors;
};

static uint64_t
now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int
connect_local(uint16_t port)
{
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_port = htons(port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (const struct sockaddr *)&sin, sizeof(sin)) < 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* Length of the whole reply in buf, 0 while it is not known or not complete. */
static bool
reply_complete(const char *buf, size_t len)
{
    const char *end = memmem(buf, len, "\r\n\r\n", 4);
    const char *header;

    if (end == NULL) {
        return false;
    }
    header = strcasestr(buf, "\r\ncontent-length:");
    if (header != NULL && header < end) {
        size_t body = strtoul(header + 17, NULL, 10);

        return len >= (size_t)(end + 4 - buf) + body;
    }
    return len >= 5 && memcmp(buf + len - 5, "0\r\n\r\n", 5) == 0;
}

static bool
run_http(const struct bench *bench, int fd, char *buf)
{
    size_t sent = 0, len = 0;

    while (sent < bench->request_len) {
        ssize_t n = write(fd, bench->request + sent, bench->request_len - sent);

        if (n <= 0) {
            return false;
        }
        sent += (size_t)n;
    }
    for (;;) {
        ssize_t n = read(fd, buf + len, MAX_REPLY - 1 - len);

        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
        buf[len] = '\0';
        if (reply_complete(buf, len)) {
            return strncmp(buf, "HTTP/1.1 200", 12) == 0 && strstr(buf, bench->expect) != NULL;
        }
    }
}

static bool
run_exec(const struct bench *bench)
{
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, bench->argv[0], &actions, NULL, bench->argv, environ) == 0) {
        waitpid(pid, &status, 0);
    }
    posix_spawn_file_actions_destroy(&actions);
    return status == 0;
}

static void *
worker(void *arg)
{
    struct bench *bench = arg;
    char *buf = malloc(MAX_REPLY);
    int fd = -1;
    unsigned i;

    while (buf != NULL && (i = atomic_fetch_add(&bench->next, 1)) < bench->count) {
        uint64_t start;
        bool fine;

        if (bench->gap_us > 0) {
            usleep(bench->gap_us);
        }
        if (bench->http && fd < 0) {
            fd = connect_local(bench->port);
        }
        start = now_us();
        fine = bench->http ? fd >= 0 && run_http(bench, fd, buf) : run_exec(bench);
        bench->sample[i] = now_us() - start;
        if (!fine) {
            atomic_fetch_add(&bench->errors, 1);
            if (fd >= 0) {
                close(fd);
                fd = -1;
            }
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    free(buf);
    return NULL;
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static char *
slurp(const char *path, size_t *ret_len)
{
    char *text = calloc(1, MAX_REPLY);
    FILE *in = fopen(path, "rb");

    if (in == NULL || text == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(2);
    }
    *ret_len = fread(text, 1, MAX_REPLY - 1, in);
    fclose(in);
    return text;
}

int
main(int argc, char **argv)
{
    struct bench bench = { 0 };
    unsigned n_workers;
    uint64_t start, total;

    if (argc < 7) {
        fprintf(stderr,
                "usage: %s NAME COUNT WORKERS GAP-US http PORT REQUEST-FILE EXPECT | exec COMMAND...\n",
                argv[0]);
        return 2;
    }
    bench.count = (unsigned)strtoul(argv[2], NULL, 10);
    n_workers = (unsigned)strtoul(argv[3], NULL, 10);
    bench.gap_us = (unsigned)strtoul(argv[4], NULL, 10);
    bench.http = strcmp(argv[5], "http") == 0;
    if (bench.count == 0 || bench.count > 1000000 || n_workers == 0 || n_workers > 1000 ||
        (bench.http && argc != 9)) {
        fprintf(stderr, "bad arguments\n");
        return 2;
    }
    if (bench.http) {
        bench.port = (uint16_t)strtoul(argv[6], NULL, 10);
        bench.request = slurp(argv[7], &bench.request_len);
        bench.expect = argv[8];
    } else {
        bench.argv = argv + 6;
    }
    bench.sample = calloc(bench.count, sizeof(*bench.sample));
    pthread_t *thread = calloc(n_workers, sizeof(*thread));
    if (bench.sample == NULL || thread == NULL) {
        return 2;
    }
    start = now_us();
    for (unsigned i = 0; i < n_workers; i++) {
        if (pthread_create(&thread[i], NULL, worker, &bench) != 0) {
            return 2;
        }
    }
    for (unsigned i = 0; i < n_workers; i++) {
        pthread_join(thread[i], NULL);
    }
    total = now_us() - start;
    qsort(bench.sample, bench.count, sizeof(*bench.sample), compare);
#define AT(p) ((unsigned long)bench.sample[(size_t)((double)(bench.count - 1) * (p))])
    printf("%s n=%u errors=%u p50_us=%lu p95_us=%lu p99_us=%lu max_us=%lu per_second=%.1f\n", argv[1],
           bench.count, atomic_load(&bench.errors), AT(0.5), AT(0.95), AT(0.99), AT(1.0),
           (double)bench.count * 1e6 / (double)total);
    return atomic_load(&bench.errors) > 0;
}

/*
 * Times requests of HTTP over kept connections, or commands, and prints one line:
 *   n=… errors=… p50_us=… p95_us=… p99_us=… max_us=… per_second=… cpu_us=… children_us=…
 *
 *   load [option ...] http PORT REQUESTS      REQUESTS: {u32 length, bytes} one after the other, sent in turns
 *   load [option ...] exec COMMAND [ARG ...]          @N@ at the end of an ARG: another number for each
 *
 *   -n COUNT, -t SECONDS   ends after so many, or that long, whichever is first
 *   -c WORKERS             so many at once
 *   -g MICROSECONDS        a pause before each of a worker's, not counted: a quiet server behaves otherwise than a busy one
 *   -r RATE                open loop: a Poisson schedule of so many a second; latency counts from the time that the schedule says,
 *                          also when no worker was free then, so that a server that stalls cannot hide it
 *   -e TEXT                must occur in each answer
 *   -a                     any status is as good; otherwise 200 to 202 are
 *   -s FILE                appends each latency in microseconds, u32
 *   -o FILE                appends a line for each answer: microseconds, status, Retry-After or -, id or -
 *
 * cpu_us is what this process itself took, which a server on the same processors did not get; children_us what the commands took.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_REPLY (1 << 20)
#define MAX_REQUESTS 65536
#define MAX_FILE (64 << 20)
#define MAX_COUNT 2000000
#define MAX_WORKERS 1000
#define MAX_ID 40
#define MAX_ARGV 128

extern char **environ;

struct answer {
    uint32_t us;
    uint16_t status, retry_after;
    char id[MAX_ID];
};

struct request {
    const char *bytes;
    size_t len;
};

static struct {
    unsigned count, workers, gap_us;
    double seconds, rate;
    bool is_http, takes_any;
    uint16_t port;
    const char *expect, *samples, *replies;
    struct request *request;
    unsigned n_requests;
    char **argv;
} want = { .count = MAX_COUNT, .workers = 1, .seconds = 3600 };

static struct answer *answers;
static uint64_t *due_ns;
static uint64_t start_ns, end_ns;
static atomic_uint next, errors;
static atomic_flag has_shown = ATOMIC_FLAG_INIT;

static _Noreturn void
die(const char *what)
{
    (void)fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void
sleep_until(uint64_t ns)
{
    struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR) {
    }
}

static int
connect_local(void)
{
    struct sockaddr_in sin = { .sin_family = AF_INET,
                               .sin_port = htons(want.port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&sin, sizeof(sin)) < 0) {
        die("connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* The value of a header in the head that ends at `end`; NULL without it. */
static const char *
header(const char *buf, const char *end, const char *name)
{
    const char *at = strcasestr(buf, name);

    return at != NULL && at < end ? at + strlen(name) : NULL;
}

/* Where the head ends when the reply is whole, else NULL. */
static const char *
reply_end(const char *buf, size_t len)
{
    const char *end = memmem(buf, len, "\r\n\r\n", 4);
    const char *length;

    if (end == NULL) {
        return NULL;
    }
    length = header(buf, end, "\r\ncontent-length:");
    if (length != NULL) {
        return len >= (size_t)(end + 4 - buf) + strtoul(length, NULL, 10) ? end : NULL;
    }
    return memcmp(buf + len - 5, "0\r\n\r\n", 5) == 0 ? end : NULL;
}

static void
take_id(struct answer *answer, const char *body)
{
    static const char *const names[] = { "\"job_id\":\"", "\"session_id\":\"" };
    const char *at = NULL;
    size_t len;

    for (unsigned i = 0; i < 2 && at == NULL; i++) {
        at = strstr(body, names[i]);
        at = at == NULL ? NULL : at + strlen(names[i]);
    }
    len = at == NULL ? 0 : strcspn(at, "\"");
    if (len > 0 && len < MAX_ID) {
        memcpy(answer->id, at, len);
    }
}

static bool
judge(struct answer *answer, const char *buf, const char *end)
{
    const char *later = header(buf, end, "\r\nretry-after:");
    bool is_good;

    answer->status = (uint16_t)strtoul(buf + sizeof("HTTP/1.1"), NULL, 10);
    answer->retry_after = later == NULL ? 0 : (uint16_t)strtoul(later, NULL, 10);
    take_id(answer, end);
    is_good = want.takes_any || (answer->status >= 200 && answer->status <= 202 &&
                                 (want.expect == NULL || strstr(end, want.expect) != NULL));
    if (!is_good && !atomic_flag_test_and_set(&has_shown)) {
        (void)fprintf(stderr, "load: unexpected: %.800s\n", buf);
    }
    return is_good;
}

/* Closes *fd when the connection can't be used again. */
static bool
run_http(unsigned i, int *fd, char *buf)
{
    const struct request *request = &want.request[i % want.n_requests];
    const char *end = NULL;
    size_t sent = 0, len = 0;
    bool is_good;

    while (sent < request->len) {
        ssize_t n = write(*fd, request->bytes + sent, request->len - sent);

        if (n <= 0) {
            break;
        }
        sent += (size_t)n;
    }
    while (end == NULL && len < MAX_REPLY - 1) {
        ssize_t n = read(*fd, buf + len, MAX_REPLY - 1 - len);

        if (n <= 0) {
            break;
        }
        len += (size_t)n;
        buf[len] = '\0';
        end = reply_end(buf, len);
    }
    is_good = end != NULL && judge(&answers[i], buf, end);
    if (end == NULL || header(buf, end, "\r\nconnection: close") != NULL) {
        close(*fd);
        *fd = -1;
    }
    return is_good;
}

/* The command's words; @N@ at the end of one is another number for each. */
static void
fill_argv(char **argv, char *number, size_t size, unsigned i)
{
    unsigned n = 0;

    for (; want.argv[n] != NULL && n < MAX_ARGV - 1; n++) {
        char *at = strstr(want.argv[n], "@N@");

        argv[n] = want.argv[n];
        if (at != NULL && at[3] == '\0') {
            (void)snprintf(number, size, "%.*s%d-%u", (int)(at - want.argv[n]), want.argv[n], getpid(), i);
            argv[n] = number;
        }
    }
    argv[n] = NULL;
}

static bool
run_exec(unsigned i)
{
    posix_spawn_file_actions_t actions;
    char *argv[MAX_ARGV], number[128];
    int status = -1;
    pid_t pid;

    fill_argv(argv, number, sizeof(number), i);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) == 0) {
        waitpid(pid, &status, 0);
    }
    posix_spawn_file_actions_destroy(&actions);
    return status == 0;
}

/* False when there is none left to do. */
static bool
begin(unsigned *ret_i, uint64_t *ret_from)
{
    unsigned i = atomic_fetch_add(&next, 1);

    if (i >= want.count) {
        return false;
    }
    if (due_ns != NULL) {
        sleep_until(due_ns[i]);
        *ret_from = due_ns[i];
    } else {
        if (want.gap_us > 0) {
            sleep_until(now_ns() + (uint64_t)want.gap_us * 1000);
        }
        *ret_from = now_ns();
        if (*ret_from >= end_ns) {
            return false;
        }
    }
    *ret_i = i;
    return true;
}

static void *
worker(void *arg)
{
    char *buf = malloc(MAX_REPLY);
    uint64_t from;
    unsigned i;
    int fd = -1;

    (void)arg;
    prctl(PR_SET_TIMERSLACK, 1);
    if (buf == NULL) {
        die("memory");
    }
    if (want.is_http) {
        fd = connect_local();
    }
    while (begin(&i, &from)) {
        bool is_good = want.is_http ? run_http(i, &fd, buf) : run_exec(i);
        uint64_t us = (now_ns() - from) / 1000;

        answers[i].us = us == 0 ? 1 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
        if (!is_good) {
            atomic_fetch_add(&errors, 1);
        }
        if (want.is_http && fd < 0) {
            fd = connect_local();
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
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static char *
slurp(const char *path, size_t *ret_len)
{
    FILE *in = fopen(path, "rb");
    struct stat st;
    char *text;

    if (in == NULL || fstat(fileno(in), &st) < 0 || st.st_size <= 0 || st.st_size > MAX_FILE) {
        die(path);
    }
    text = malloc((size_t)st.st_size);
    if (text == NULL || fread(text, 1, (size_t)st.st_size, in) != (size_t)st.st_size) {
        die(path);
    }
    (void)fclose(in);
    *ret_len = (size_t)st.st_size;
    return text;
}

static void
read_requests(const char *path)
{
    size_t len, at = 0;
    const char *text = slurp(path, &len);

    want.request = calloc(MAX_REQUESTS, sizeof(*want.request));
    while (want.request != NULL && at + 4 < len && want.n_requests < MAX_REQUESTS) {
        uint32_t n;

        memcpy(&n, text + at, 4);
        if (n > len - at - 4) {
            break;
        }
        want.request[want.n_requests++] = (struct request){ text + at + 4, n };
        at += 4 + n;
    }
    if (want.n_requests == 0) {
        errno = EINVAL;
        die(path);
    }
}

/* Times between two are exponential, the same in each run. */
static void
make_schedule(void)
{
    double at = (double)start_ns + 1e8;
    uint64_t state = 88172645463325252u;
    unsigned n = 0;

    due_ns = calloc(want.count, sizeof(*due_ns));
    if (due_ns == NULL) {
        die("memory");
    }
    while (n < want.count) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        at -= log(((double)(state >> 11) + 1) / 9007199254740993.0) / want.rate * 1e9;
        if (at >= (double)start_ns + 1e8 + want.seconds * 1e9) {
            break;
        }
        due_ns[n++] = (uint64_t)at;
    }
    want.count = n;
}

static void
run_workers(void)
{
    pthread_t *thread = calloc(want.workers, sizeof(*thread));

    for (unsigned i = 0; thread != NULL && i < want.workers; i++) {
        if (pthread_create(&thread[i], NULL, worker, NULL) != 0) {
            die("thread");
        }
    }
    for (unsigned i = 0; thread != NULL && i < want.workers; i++) {
        pthread_join(thread[i], NULL);
    }
    free(thread);
}

/* The latencies of all that ran, in their order; appended to the files that were asked for. */
static uint32_t *
collect(unsigned *ret_n)
{
    uint32_t *us = calloc(want.count, sizeof(*us));
    FILE *samples = want.samples == NULL ? NULL : fopen(want.samples, "ab");
    FILE *replies = want.replies == NULL ? NULL : fopen(want.replies, "ae");
    unsigned n = 0;

    if (us == NULL) {
        die("memory");
    }
    for (unsigned i = 0; i < want.count; i++) {
        const struct answer *a = &answers[i];

        if (a->us == 0) {
            continue;
        }
        us[n++] = a->us;
        if (replies != NULL) {
            (void)fprintf(replies, "%u %u ", a->us, a->status);
            (void)fprintf(replies, a->retry_after > 0 ? "%u " : "- ", a->retry_after);
            (void)fprintf(replies, "%s\n", a->id[0] != '\0' ? a->id : "-");
        }
    }
    if ((want.samples != NULL &&
         (samples == NULL || fwrite(us, sizeof(*us), n, samples) != n || fclose(samples) != 0)) ||
        (want.replies != NULL && (replies == NULL || fclose(replies) != 0))) {
        die("result");
    }
    *ret_n = n;
    return us;
}

static long long
cpu_us(const struct rusage *of)
{
    return (long long)(of->ru_utime.tv_sec + of->ru_stime.tv_sec) * 1000000 + of->ru_utime.tv_usec +
           of->ru_stime.tv_usec;
}

static void
report(uint64_t took_ns)
{
    struct rusage self, children;
    unsigned n;
    uint32_t *us = collect(&n);

    if (n == 0) {
        (void)fputs("load: nothing ran\n", stderr);
        exit(2);
    }
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    qsort(us, n, sizeof(*us), compare);
#define AT(p) us[(size_t)((double)(n - 1) * (p))]
    printf("n=%u errors=%u p50_us=%u p95_us=%u p99_us=%u max_us=%u per_second=%.1f cpu_us=%lld "
           "children_us=%lld\n",
           n, atomic_load(&errors), AT(0.5), AT(0.95), AT(0.99), AT(1.0), (double)n * 1e9 / (double)took_ns,
           cpu_us(&self), cpu_us(&children));
    free(us);
}

static bool
parse(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "+n:t:c:g:r:e:as:o:")) != -1) {
        switch (option) {
        case 'n':
            want.count = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 't':
            want.seconds = strtod(optarg, NULL);
            break;
        case 'c':
            want.workers = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'g':
            want.gap_us = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            want.rate = strtod(optarg, NULL);
            break;
        case 'e':
            want.expect = optarg;
            break;
        case 'a':
            want.takes_any = true;
            break;
        case 's':
            want.samples = optarg;
            break;
        case 'o':
            want.replies = optarg;
            break;
        default:
            return false;
        }
    }
    if (want.count == 0 || want.count > MAX_COUNT || want.workers == 0 || want.workers > MAX_WORKERS ||
        want.seconds <= 0 || want.rate < 0 || argc - optind < 2) {
        return false;
    }
    want.is_http = strcmp(argv[optind], "http") == 0;
    if (!want.is_http) {
        want.argv = argv + optind + 1;
        return strcmp(argv[optind], "exec") == 0;
    }
    if (argc - optind != 3) {
        return false;
    }
    want.port = (uint16_t)strtoul(argv[optind + 1], NULL, 10);
    read_requests(argv[optind + 2]);
    return true;
}

int
main(int argc, char **argv)
{
    uint64_t took_ns;

    if (!parse(argc, argv)) {
        (void)fputs("usage: load [-n COUNT] [-t SECONDS] [-c WORKERS] [-g GAP_US] [-r RATE] [-e TEXT] [-a] "
                    "[-s FILE] [-o FILE] "
                    "http PORT REQUESTS | exec COMMAND [ARG ...]\n",
                    stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    start_ns = now_ns();
    end_ns = start_ns + (uint64_t)(want.seconds * 1e9);
    if (want.rate > 0) {
        make_schedule();
    }
    answers = calloc(want.count, sizeof(*answers));
    if (answers == NULL) {
        die("memory");
    }
    run_workers();
    took_ns = now_ns() - start_ns;
    report(took_ns);
    return 0;
}

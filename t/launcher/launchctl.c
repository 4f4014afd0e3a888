/*
 * Speaks the launcher's protocol for a test: a command a line on standard input,
 * one line of answer each (`tell` answers several, then "."). Every wait has a
 * deadline of WAIT_MS.
 *
 *   connect SOCKET | hello [VERSION] | create TEMPLATE [gvisor|process [LANGUAGE|- [spare]]] | adopt ID MEM DISK CPU_MS WALL_MS MILLIS PROCS [SHARE]
 *   stat ID | settle ID | destroy ID | ended MS | tell ID LINE | send ID LINE | read ID 1|2 | close
 *   http ID METHOD PATH [BODY]: to the agent, answers "STATUS BODY" with newlines as spaces
 *   post ID PATH FILE: sends the file as a body and does not wait | reply ID: waits for what `http` answers
 *   line ID 1|2: waits for a line of a stream | text ID 1|2: all a stream holds now, with newlines as \x01
 *   raw HEX (of a whole message) | flood N (STAT requests of sandbox ID 0 never read)
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "executor/launcher/wire.h"

#define WAIT_MS 30000
#define MAX_SANDBOXES 1024
#define MAX_EVENTS 1024

union message {
    struct launch_head head;
    struct launch_hello hello;
    struct launch_created created;
    struct launch_report report;
    struct launch_error error;
    char bytes[512];
};

static int server = -1;
static uint64_t seq;
static struct {
    uint64_t id;
    int fds[LAUNCH_N_FDS];
} sandboxes[MAX_SANDBOXES];
static struct launch_report events[MAX_EVENTS];
static unsigned n_events;

static long
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int *
fds_of(uint64_t id)
{
    for (unsigned i = 0; i < MAX_SANDBOXES; i++) {
        if (sandboxes[i].id == id) {
            return sandboxes[i].fds;
        }
    }
    return NULL;
}

static void
fds_close(uint64_t id)
{
    int *fds = fds_of(id);

    for (int i = 0; fds != NULL && i < LAUNCH_N_FDS; i++) {
        close(fds[i]);
    }
    for (unsigned i = 0; i < MAX_SANDBOXES; i++) {
        if (sandboxes[i].id == id) {
            sandboxes[i].id = 0;
        }
    }
}

static void
fds_keep(uint64_t id, const int *fds)
{
    for (unsigned i = 0; i < MAX_SANDBOXES; i++) {
        if (sandboxes[i].id == 0) {
            sandboxes[i].id = id;
            memcpy(sandboxes[i].fds, fds, sizeof(sandboxes[i].fds));
            return;
        }
    }
}

/* 1 a message, 0 end of file, -1 nothing in time. */
static int
receive(union message *ret, int *ret_fds, int wait_ms)
{
    char control[CMSG_SPACE(sizeof(int) * LAUNCH_N_FDS)];
    struct iovec iov = { ret, sizeof(*ret) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct pollfd in = { .fd = server, .events = POLLIN };
    struct cmsghdr *cmsg;
    ssize_t n;

    if (poll(&in, 1, wait_ms) != 1) {
        return -1;
    }
    n = recvmsg(server, &msg, MSG_CMSG_CLOEXEC);
    if (n <= 0) {
        return 0;
    }
    cmsg = CMSG_FIRSTHDR(&msg);
    if (cmsg != NULL && cmsg->cmsg_type == SCM_RIGHTS && ret_fds != NULL) {
        size_t n_fds = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        memcpy(ret_fds, CMSG_DATA(cmsg), sizeof(int) * n_fds);
        if (n_fds == LAUNCH_N_FDS_GVISOR) {
            memmove(ret_fds + 2, ret_fds + 1, 2 * sizeof(int)); /* no stdin */
            ret_fds[1] = -1;
        }
    }
    return 1;
}

static void
print_report(const char *what, const struct launch_report *r)
{
    printf("%s id=%llu cpu_ms=%llu wall_ms=%llu peak=%llu disk=%llu oom=%u forks=%u verdict=%u running=%u "
           "limit=%llu "
           "observed=%llu files=%u signal=%d code=%d throttled=%llu host_oom=%u\n",
           what, (unsigned long long)r->head.sandbox, (unsigned long long)r->cpu_ms,
           (unsigned long long)r->wall_ms, (unsigned long long)r->peak_memory_bytes,
           (unsigned long long)r->disk_bytes, r->oom_kills, r->fork_refusals, r->verdict, r->running,
           (unsigned long long)r->verdict_limit, (unsigned long long)r->verdict_observed, r->verdict_files,
           r->exit_signal, r->exit_code, (unsigned long long)r->cpu_throttled_ms, r->host_oom);
}

static void
answer(int wait_ms)
{
    union message m = { 0 };
    int fds[LAUNCH_N_FDS] = { -1, -1, -1, -1 };
    int r;

    while ((r = receive(&m, fds, wait_ms)) == 1 && m.head.type == LAUNCH_ENDED) {
        events[n_events++ % MAX_EVENTS] = m.report;
    }
    if (r != 1) {
        puts(r == 0 ? "eof" : "timeout");
        return;
    }
    switch (m.head.type) {
    case LAUNCH_HELLO:
        printf("hello version=%u max=%u\n", m.hello.version, m.hello.max_sandboxes);
        break;
    case LAUNCH_CREATED:
        fds_keep(m.head.sandbox, fds);
        printf("created %llu %u fds=%d\n", (unsigned long long)m.head.sandbox, m.created.host_uid,
               fds[LAUNCH_N_FDS_GVISOR - 1] >= 0);
        break;
    case LAUNCH_ADOPTED:
        puts("adopted");
        break;
    case LAUNCH_HASTENED:
        puts("hastened");
        break;
    case LAUNCH_STATS:
        print_report("stats", &m.report);
        break;
    case LAUNCH_DESTROYED:
        fds_close(m.head.sandbox);
        print_report("destroyed", &m.report);
        break;
    case LAUNCH_ERROR:
        printf("error %d %s\n", m.error.error, m.error.stage);
        break;
    default:
        printf("unknown type=%u\n", m.head.type);
    }
}

static void
request(void *message, size_t size, enum launch_type type, uint64_t sandbox)
{
    struct launch_head *head = message;

    *head = (struct launch_head){
        .type = (uint16_t)type, .size = (uint16_t)size, .seq = ++seq, .sandbox = sandbox
    };
    if (send(server, message, size, MSG_NOSIGNAL) != (ssize_t)size) {
        puts("eof");
        return;
    }
    answer(WAIT_MS);
}

static void
do_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (server >= 0) {
        close(server);
    }
    seq = 0;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(server, (struct sockaddr *)&address, sizeof(address)) < 0) {
        printf("errno=%d\n", errno);
        return;
    }
    puts("ok");
}

static void
do_adopt(char *arguments)
{
    struct launch_adopt m = { 0 };
    unsigned long long v[8] = { 0 };

    for (int i = 0; i < 8; i++) {
        v[i] = strtoull(arguments, &arguments, 10);
    }
    m.limits = (struct launch_limits){ v[1], v[2], v[3], v[4], (uint32_t)v[5], (uint32_t)v[6] };
    m.share = v[7];
    request(&m, sizeof(m), LAUNCH_ADOPT, v[0]);
}

static void
do_ended(int wait_ms)
{
    union message m = { 0 };
    long end = now_ms() + wait_ms;

    if (n_events == 0) {
        int r = receive(&m, NULL, (int)(end - now_ms()));

        if (r != 1) {
            puts(r == 0 ? "eof" : "timeout");
            return;
        }
        if (m.head.type != LAUNCH_ENDED) {
            printf("unknown type=%u\n", m.head.type);
            return;
        }
        print_report("ended", &m.report);
        return;
    }
    print_report("ended", &events[0]);
    memmove(events, events + 1, (size_t)(--n_events) * sizeof(events[0]));
}

static void
do_tell(char *arguments, int is_waiting)
{
    char *line, chunk[65536], *reply = NULL;
    uint64_t id = strtoull(arguments, &line, 10);
    int *fds = fds_of(id);
    size_t len = 0;
    long end = now_ms() + WAIT_MS;

    line += *line == ' ';
    if (fds == NULL || dprintf(fds[0], "%s\n", line) < 0) {
        puts(is_waiting ? "gone\n." : "gone");
        return;
    }
    if (!is_waiting) {
        puts("sent");
        return;
    }
    for (;;) {
        struct pollfd in = { .fd = fds[0], .events = POLLIN };
        ssize_t n = poll(&in, 1, (int)(end - now_ms())) == 1 ? read(fds[0], chunk, sizeof(chunk)) : -2;

        if (n <= 0) {
            puts(n == -2 ? "timeout\n." : "gone\n.");
            break;
        }
        reply = realloc(reply, len + (size_t)n + 1);
        memcpy(reply + len, chunk, (size_t)n);
        len += (size_t)n;
        reply[len] = '\0';
        if (len >= 3 && strcmp(reply + len - 3, "\n.\n") == 0) {
            (void)!fwrite(reply, 1, len, stdout);
            break;
        }
    }
    free(reply);
}

_Static_assert(LAUNCH_N_FDS_GVISOR == LAUNCH_N_FDS - 1, "the gVisor tier has no stdin");

static int
stream_fd(const int *fds, long which)
{
    return fds == NULL || which < 1 || which > 2 ? -1
           : fds[LAUNCH_N_FDS - 1] >= 0          ? fds[1 + which]
                                                 : fds[which];
}

static void
http_send(int fd, const char *method, const char *path, const char *body, size_t len)
{
    dprintf(fd,
            "%s %s HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\nX-Session-Token: "
            "0123456789abcdef\r\nContent-Length: %zu\r\n\r\n",
            method, path, len);
    while (len > 0) {
        ssize_t n = send(fd, body, len, MSG_NOSIGNAL);

        if (n <= 0) {
            return; /* the answer will tell */
        }
        body += n;
        len -= (size_t)n;
    }
}

static void
do_reply(uint64_t id)
{
    char *head_end = NULL, *length;
    static char reply[1 << 20];
    int *fds = fds_of(id);
    size_t len = 0, want = 0;
    long end = now_ms() + WAIT_MS;

    while (fds != NULL && (head_end == NULL || len < want)) {
        struct pollfd in = { .fd = fds[0], .events = POLLIN };
        ssize_t n =
            poll(&in, 1, (int)(end - now_ms())) == 1 ? read(fds[0], reply + len, sizeof(reply) - 1 - len) : 0;

        if (n <= 0) {
            break;
        }
        len += (size_t)n;
        reply[len] = '\0';
        head_end = head_end != NULL ? head_end : strstr(reply, "\r\n\r\n");
        length = head_end != NULL ? strcasestr(reply, "content-length:") : NULL;
        want = length != NULL ? (size_t)(head_end + 4 - reply) + strtoul(length + 15, NULL, 10) : 0;
    }
    if (head_end == NULL || len < want) {
        puts("gone");
        return;
    }
    for (char *at = head_end + 4; *at != '\0'; at++) {
        *at = *at == '\n' ? ' ' : *at;
    }
    printf("%.3s %s\n", reply + 9, head_end + 4);
}

/* One exchange on the agent's connection, which stays open. */
static void
do_http(char *arguments)
{
    char *method, *path, *body;
    uint64_t id = strtoull(arguments, &method, 10);
    int *fds = fds_of(id);

    method += *method == ' ';
    path = strchr(method, ' ');
    if (fds == NULL || path == NULL) {
        puts("gone");
        return;
    }
    *path++ = '\0';
    body = strchr(path, ' ');
    if (body == NULL) {
        body = path + strlen(path);
    } else {
        *body++ = '\0';
    }
    http_send(fds[0], method, path, body, strlen(body));
    do_reply(id);
}

static void
do_post(char *arguments)
{
    char *path, *name;
    static char body[8 << 20];
    uint64_t id = strtoull(arguments, &path, 10);
    int *fds = fds_of(id);
    FILE *file;

    path += *path == ' ';
    name = strchr(path, ' ');
    if (fds == NULL || name == NULL) {
        puts("gone");
        return;
    }
    *name++ = '\0';
    file = fopen(name, "re");
    if (file == NULL) {
        printf("errno=%d\n", errno);
        return;
    }
    http_send(fds[0], "POST", path, body, fread(body, 1, sizeof(body), file));
    fclose(file);
    puts("sent");
}

/* A line of a stream as soon as it is there. */
static void
do_line(char *arguments)
{
    char line[4096];
    uint64_t id = strtoull(arguments, &arguments, 10);
    int fd = stream_fd(fds_of(id), strtol(arguments, NULL, 10));
    size_t len = 0;
    long end = now_ms() + WAIT_MS;

    while (len < sizeof(line)) {
        struct pollfd in = { .fd = fd, .events = POLLIN };

        if (poll(&in, 1, (int)(end - now_ms())) != 1 || read(fd, line + len, 1) != 1 || line[len] == '\n') {
            break;
        }
        len++;
    }
    printf("%.*s\n", (int)len, line);
}

static void
do_text(char *arguments)
{
    static char text[1 << 20];
    uint64_t id = strtoull(arguments, &arguments, 10);
    int fd = stream_fd(fds_of(id), strtol(arguments, NULL, 10));
    ssize_t n = fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0 ? read(fd, text, sizeof(text)) : -1;

    for (ssize_t i = 0; i < n; i++) {
        putchar(text[i] == '\n' ? '\x01' : text[i]);
    }
    putchar('\n');
}

/* What a stream holds now. */
static void
do_read(char *arguments)
{
    char chunk[65536];
    uint64_t id = strtoull(arguments, &arguments, 10);
    int fd = stream_fd(fds_of(id), strtol(arguments, NULL, 10));
    ssize_t n = -1;

    if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0) {
        n = read(fd, chunk, sizeof(chunk));
    }
    printf("bytes=%zd %.*s\n", n, n > 0 && n < 4000 ? (int)strcspn(chunk, "\n") : 0, chunk);
}

static void
do_raw(const char *hex)
{
    unsigned char bytes[2048];
    size_t n = 0;

    for (; hex[0] != '\0' && hex[1] != '\0' && n < sizeof(bytes); hex += 2) {
        char pair[3] = { hex[0], hex[1], 0 };

        bytes[n++] = (unsigned char)strtoul(pair, NULL, 16);
    }
    if (send(server, bytes, n, MSG_NOSIGNAL) < 0) {
        puts("eof");
        return;
    }
    answer(WAIT_MS);
}

/* Requests whose answers nobody reads. */
static void
do_flood(char *arguments)
{
    uint64_t id = strtoull(arguments, &arguments, 10);
    long n = strtol(arguments, NULL, 10), sent = 0;

    for (; sent < n; sent++) {
        struct launch_head m = { .type = LAUNCH_STAT, .size = sizeof(m), .seq = ++seq, .sandbox = id };

        if (send(server, &m, sizeof(m), MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    printf("sent=%ld\n", sent);
}

static void
command(char *line)
{
    char *argument = strchr(line, ' ');
    struct launch_hello hello = { .version = LAUNCH_WIRE_VERSION };
    struct launch_create create = { 0 };
    struct launch_head head;

    if (argument != NULL) {
        *argument++ = '\0';
    } else {
        argument = line + strlen(line);
    }
    if (strcmp(line, "connect") == 0) {
        do_connect(argument);
    } else if (strcmp(line, "hello") == 0) {
        hello.version = *argument != '\0' ? (uint32_t)strtoul(argument, NULL, 10) : hello.version;
        request(&hello, sizeof(hello), LAUNCH_HELLO, 0);
    } else if (strcmp(line, "create") == 0) {
        char *tier = strchr(argument, ' ');

        create.isolation = SBX_ISOLATION_PROCESS;
        if (tier != NULL) {
            char *language = strchr(tier + 1, ' ');

            *tier++ = '\0';
            if (language != NULL) {
                char *spare = strchr(language + 1, ' ');

                *language++ = '\0';
                if (spare != NULL) {
                    *spare++ = '\0';
                    create.is_spare = strcmp(spare, "spare") == 0;
                }
                if (strcmp(language, "-") != 0) {
                    memcpy(create.prepare, language, strnlen(language, sizeof(create.prepare)));
                }
            }
            create.isolation = sbx_isolation_parse(tier);
        }
        memcpy(create.template_name, argument, strnlen(argument, sizeof(create.template_name)));
        request(&create, sizeof(create), LAUNCH_CREATE, 0);
    } else if (strcmp(line, "adopt") == 0) {
        do_adopt(argument);
    } else if (strcmp(line, "stat") == 0) {
        request(&head, sizeof(head), LAUNCH_STAT, strtoull(argument, NULL, 10));
    } else if (strcmp(line, "settle") == 0) {
        request(&head, sizeof(head), LAUNCH_SETTLE, strtoull(argument, NULL, 10));
    } else if (strcmp(line, "hasten") == 0) {
        request(&head, sizeof(head), LAUNCH_HASTEN, strtoull(argument, NULL, 10));
    } else if (strcmp(line, "freeze") == 0) {
        request(&head, sizeof(head), LAUNCH_FREEZE, strtoull(argument, NULL, 10));
    } else if (strcmp(line, "thaw") == 0) {
        request(&head, sizeof(head), LAUNCH_THAW, strtoull(argument, NULL, 10));
    } else if (strcmp(line, "destroy") == 0) {
        request(&head, sizeof(head), LAUNCH_DESTROY, strtoull(argument, NULL, 10));
    } else if (strcmp(line, "ended") == 0) {
        do_ended((int)strtol(argument, NULL, 10));
    } else if (strcmp(line, "tell") == 0 || strcmp(line, "send") == 0) {
        do_tell(argument, line[0] == 't');
    } else if (strcmp(line, "post") == 0) {
        do_post(argument);
    } else if (strcmp(line, "reply") == 0) {
        do_reply(strtoull(argument, NULL, 10));
    } else if (strcmp(line, "line") == 0) {
        do_line(argument);
    } else if (strcmp(line, "text") == 0) {
        do_text(argument);
    } else if (strcmp(line, "read") == 0) {
        do_read(argument);
    } else if (strcmp(line, "http") == 0) {
        do_http(argument);
    } else if (strcmp(line, "raw") == 0) {
        do_raw(argument);
    } else if (strcmp(line, "flood") == 0) {
        do_flood(argument);
    } else if (strcmp(line, "close") == 0) {
        close(server);
        server = -1;
        puts("ok");
    } else {
        puts("what?");
    }
}

int
main(void)
{
    static char line[65536];

    signal(SIGPIPE, SIG_IGN); /* an agent that is gone is told by the command */
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        command(line);
        fflush(stdout);
    }
    return 0;
}

/*
 * An agent that was taken over: pid 1 of real sandboxes that says and does to the executor whatever a mode
 * tells it to. A mode is `stage:what`; the stage is health, step or fetch, and all other stages are
 * answered as an honest agent would. It is read from the file /usr/mode of the template, or from EVIL in the
 * session's environment, which wins. A template without that file gets the real agent, out of /opt/sandbox.
 * Static, because the evil template has no libraries.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "t/launcher/evil_says.h"

#define CONTROL 3
#define MODE_FILE "/usr/mode"
#define HONEST "/opt/sandbox/drivers/honest"
#define MAX_BODY (1 << 20)

enum { HEALTH, STEP, FETCH, N_STAGES };

static const char *const stages[N_STAGES] = { "health", "step", "fetch" };
static char mode[64], step_id[128], body[MAX_BODY + 1], text[1 << 20];

static void
say_bytes(const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(CONTROL, data, len);

        if (n <= 0) {
            _exit(7); /* the executor hung up */
        }
        data += n;
        len -= (size_t)n;
    }
}

static void
say(const char *data)
{
    say_bytes(data, strlen(data));
}

static void
answer(int status, const char *document)
{
    char head[128];

    (void)snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", status,
                   strlen(document));
    say(head);
    say(document);
}

/* A good end of the step, with more members in front of the usual ones. */
static const char *
step_end(const char *more)
{
    (void)snprintf(text, sizeof(text), "{%s\"stepId\":\"%s\",\"exit_code\":0,\"signal\":null}", more,
                   step_id);
    return text;
}

static const char *
honest_document(int stage)
{
    switch (stage) {
    case HEALTH:
        return "{\"status\":\"ok\"}";
    case STEP:
        return step_end(strncmp(mode, "fetch:", 6) == 0
                            ? "\"files\":[{\"path\":\"a\",\"size\":10},{\"path\":\"b\",\"size\":10}],"
                            : "");
    case FETCH:
        return "0123456789";
    default:
        return "{}";
    }
}

static void
answer_honestly(int stage)
{
    answer(200, honest_document(stage));
}

_Noreturn static void
sleep_forever(void)
{
    for (;;) {
        (void)pause();
    }
}

static bool
shape_say(const char *what)
{
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (strcmp(what, shapes[i].name) == 0) {
            say(shapes[i].bytes);
            return true;
        }
    }
    return false;
}

static void
slowly(const char *data)
{
    for (; *data != '\0'; data++) {
        say_bytes(data, 1);
        (void)nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL); /* its pace is the attack */
    }
}

static void
head_of(unsigned lines, const char *line)
{
    say("HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < lines; i++) {
        say(line);
    }
    say("Content-Length: 2\r\n\r\n{}");
}

_Noreturn static void
endless(const char *head, const char *piece)
{
    say(head);
    for (;;) {
        say(piece);
    }
}

/* Things that can be done in place of any answer. False: not one of these. */
static bool
transport(int stage, const char *what)
{
    static char kib[1024 + 64];

    memset(kib, 'x', 1024);
    if (strcmp(what, "silent") == 0) {
        sleep_forever();
    } else if (strcmp(what, "close") == 0) {
        close(CONTROL);
        sleep_forever();
    } else if (strcmp(what, "exit") == 0) {
        _exit(0);
    } else if (strcmp(what, "half-head") == 0) {
        say("HTTP/1.1 200 OK\r\nContent-Le");
        sleep_forever();
    } else if (strcmp(what, "half-body") == 0) {
        say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
        sleep_forever();
    } else if (strcmp(what, "cut-body") == 0) {
        say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
        close(CONTROL);
        sleep_forever();
    } else if (strcmp(what, "slow") == 0) {
        slowly("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n");
        for (;;) {
            slowly(" ");
        }
    } else if (strcmp(what, "long-line") == 0) {
        memcpy(kib + 1024, "", 1);
        say("HTTP/1.1 200 OK\r\nX: ");
        for (unsigned i = 0; i < 1024; i++) {
            say(kib);
        }
        say("\r\nContent-Length: 2\r\n\r\n{}");
    } else if (strcmp(what, "many-headers") == 0) {
        head_of(10000, "X: y\r\n");
    } else if (strcmp(what, "interim-flood") == 0) {
        endless("", "HTTP/1.1 103 Early\r\n\r\n");
    } else if (strcmp(what, "bomb") == 0) {
        endless("HTTP/1.1 200 OK\r\nContent-Length: 8589934592\r\n\r\n", kib);
    } else if (strcmp(what, "chunk-bomb") == 0) {
        memcpy(kib + 1024, "\r\n400\r\n", 8);
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n", kib);
    } else if (strcmp(what, "tiny-chunks") == 0) {
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n");
    } else if (strcmp(what, "trailer-flood") == 0) {
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", "X: y\r\n");
    } else if (strcmp(what, "pipelined") == 0) {
        answer_honestly(stage);
        answer(200, "{\"more\":\"EVILTEXT\"}");
    } else if (strcmp(what, "early") == 0) {
        answer_honestly(stage);
        (void)nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL); /* into the silence after it */
        answer(200, step_end(""));
    } else {
        return shape_say(what);
    }
    return true;
}

/* Appends to what is in `text`; it has room for all that is put together here. */
static size_t
text_add(size_t len, const char *piece)
{
    size_t n = strlen(piece);

    memcpy(text + len, piece, n + 1);
    return len + n;
}

/* `open` n times around, then the same closed. */
static void
nest(const char *open, const char *inner, const char *close_with, unsigned n)
{
    size_t len = 0;

    for (unsigned i = 0; i < n; i++) {
        len = text_add(len, open);
    }
    len = text_add(len, inner);
    for (unsigned i = 0; i < n; i++) {
        len = text_add(len, close_with);
    }
    answer(200, text);
}

/* A document of `n` times `item`, as a step's `member`. */
static void
flood(const char *member, const char *item, unsigned n)
{
    static char head[256], tail[256];
    size_t total;

    (void)snprintf(head, sizeof(head), "{\"%s\":[%s", member, item);
    (void)snprintf(tail, sizeof(tail), "],\"stepId\":\"%s\",\"exit_code\":0}", step_id);
    total = strlen(head) + (size_t)(n - 1) * (strlen(item) + 1) + strlen(tail);
    (void)snprintf(text, sizeof(text), "HTTP/1.1 200 X\r\nContent-Length: %zu\r\n\r\n", total);
    say(text);
    say(head);
    for (unsigned i = 1; i < n; i++) {
        say(",");
        say(item);
    }
    say(tail);
}

static void
long_paths(void)
{
    static char path[5000];

    memset(path, 'p', 200);
    for (unsigned i = 200; i < 4800; i += 200) {
        memset(path + i, 'p', 200);
        path[i] = '/';
    }
    (void)snprintf(text, sizeof(text),
                   "{\"files\":[{\"path\":\"%s\",\"size\":1}],\"stepId\":\"%s\",\"exit_code\":0}", path,
                   step_id);
    answer(200, text);
}

static void
big_result(void)
{
    static char zeros[65537];

    memset(zeros, '0', sizeof(zeros) - 1);
    say("HTTP/1.1 200 X\r\nContent-Length: 1073741824\r\n\r\n{\"result\":\"");
    for (unsigned i = 0; i < 16384; i++) {
        say(zeros);
    }
    say("\"}");
}

static bool
document_say(const char *what)
{
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        if (strcmp(what, documents[i].name) == 0) {
            const char *document = documents[i].document, *at = strstr(document, "%s");
            int head = at == NULL ? (int)strlen(document) : (int)(at - document);

            (void)snprintf(text, sizeof(text), "%.*s%s%s", head, document, at == NULL ? "" : step_id,
                           at == NULL ? "" : at + 2);
            answer(200, text);
            return true;
        }
    }
    return false;
}

static bool
document_large(const char *what)
{
    if (strcmp(what, "deep") == 0) {
        nest("[", "0", "]", 100000);
    } else if (strcmp(what, "deep-objects") == 0) {
        nest("{\"a\":", "0", "}", 50000);
    } else if (strcmp(what, "wide") == 0) {
        flood("files", "{}", 2000000);
    } else if (strcmp(what, "wide-numbers") == 0) {
        flood("result", "0", 4000000);
    } else if (strcmp(what, "result-1g") == 0) {
        big_result();
    } else if (strcmp(what, "million-files") == 0) {
        flood("files", "{\"path\":\"a\",\"size\":0}", 1000000);
    } else if (strcmp(what, "skipped-flood") == 0) {
        flood("files_skipped", "{\"path\":\"a\",\"reason\":\"b\"}", 100000);
    } else if (strcmp(what, "path-4k") == 0) {
        long_paths();
    } else {
        return document_say(what);
    }
    return true;
}

static void
eat_memory(void)
{
    for (;;) {
        char *piece = malloc(1 << 20);

        if (piece != NULL) {
            memset(piece, 1, 1 << 20);
            __asm__ volatile(""
                             :
                             : "r"(piece)
                             : "memory"); /* else clang sees that nobody reads it, and eats nothing */
        }
    }
}

static void
burn(void)
{
    for (volatile unsigned long i = 0;; i++) {
    }
}

static void
fill_disk(void)
{
    int fd = open("/tmp/full", O_WRONLY | O_CREAT | O_TRUNC, 0600);

    while (fd >= 0 && write(fd, text, sizeof(text)) > 0) {
    }
    _exit(0);
}

static void
in_child(void (*what)(void))
{
    pid_t pid = fork();

    if (pid == 0) {
        what();
        _exit(0);
    }
    if (pid > 0) {
        (void)waitpid(pid, NULL, 0);
    }
}

static void
fork_much(void)
{
    for (unsigned i = 0; i < 100; i++) {
        if (fork() == 0) {
            sleep_forever();
        }
    }
}

static void
streams_flood(int fd)
{
    memset(text, 'f', sizeof(text));
    while (write(fd, text, sizeof(text)) > 0) {
    }
}

/* Not words but deeds, followed by the claim that all went well. */
static bool
deed(const char *what)
{
    if (strcmp(what, "oom") == 0) {
        in_child(eat_memory);
    } else if (strcmp(what, "oom-self") == 0) {
        eat_memory();
    } else if (strcmp(what, "fill") == 0) {
        in_child(fill_disk);
    } else if (strcmp(what, "forks") == 0) {
        fork_much();
    } else if (strcmp(what, "burn") == 0) {
        in_child(burn);
    } else if (strcmp(what, "immortal") == 0) {
        (void)signal(SIGTERM, SIG_IGN); /* main goes on after the executor has hung up */
    } else if (strcmp(what, "flood") == 0) {
        streams_flood(5);
    } else if (strcmp(what, "flood-error") == 0) {
        streams_flood(6);
    } else if (strcmp(what, "flood-after") == 0) {
        if (fork() == 0) {
            streams_flood(5);
            _exit(0);
        }
    } else if (strcmp(what, "close-streams") == 0) {
        close(4);
        close(5);
        close(6);
    } else if (strcmp(what, "hold-streams") == 0) {
        if (fork() == 0) {
            close(CONTROL);
            sleep_forever();
        }
    } else {
        return false;
    }
    answer(200, step_end(""));
    return true;
}

static void
claim_many_files(const char *what)
{
    size_t len = text_add(0, "{\"files\":[");
    unsigned n = strcmp(what, "each-stalls") == 0 ? 60 : 2;

    for (unsigned i = 0; i < n; i++) {
        char file[64];

        (void)snprintf(file, sizeof(file), "%s{\"path\":\"f%u\",\"size\":10}", i == 0 ? "" : ",", i);
        len = text_add(len, file);
    }
    len = text_add(len, "],\"stepId\":\"");
    len = text_add(len, step_id);
    (void)text_add(len, "\",\"exit_code\":0}");
    answer(200, text);
}

static void
fetch(const char *what)
{
    if (strcmp(what, "each-stalls") == 0) {
        /* Each just within the deadline of one message, were there not one for all. */
        (void)nanosleep(&(struct timespec){ .tv_sec = 8 }, NULL);
        answer(200, "0123456789");
    } else if (strcmp(what, "more") == 0) {
        answer(200, "0123456789EVILTEXT");
    } else if (strcmp(what, "less") == 0) {
        answer(200, "0123");
    } else if (strcmp(what, "refuses") == 0) {
        answer(404, "{\"detail\":\"" ESC "\"}");
    } else if (strcmp(what, "first-only") == 0) {
        if (strstr(body, "/files/f0") == NULL) {
            sleep_forever();
        }
        answer(200, "0123456789");
    } else if (!transport(FETCH, what)) {
        answer_honestly(FETCH);
    }
}

static void
behave(int stage)
{
    const char *what = strchr(mode, ':');
    size_t len = what == NULL ? 0 : (size_t)(what - mode);

    if (what != NULL && stage == STEP && strncmp(mode, "fetch:", 6) == 0) {
        claim_many_files(what + 1);
        return;
    }
    if (what == NULL || len != strlen(stages[stage]) || strncmp(mode, stages[stage], len) != 0) {
        answer_honestly(stage);
        return;
    }
    what++;
    if (stage == FETCH) {
        fetch(what);
    } else if (!transport(stage, what) && !(stage == STEP && (document_large(what) || deed(what)))) {
        answer(stage == HEALTH ? 500 : 400, "{\"detail\":\"" ESC "\"}");
    }
}

static void
text_after(const char *from, const char *key, char *out, size_t size)
{
    const char *at = strstr(from, key);
    size_t n;

    if (at != NULL) {
        at += strlen(key);
        n = strcspn(at, "\"\n");
        (void)snprintf(out, size, "%.*s", (int)n, at);
    }
}

static bool
read_request(void)
{
    size_t len = 0, want = 0;
    char *end = NULL, *field;

    while (end == NULL || len < want) {
        ssize_t n = len < MAX_BODY ? read(CONTROL, body + len, MAX_BODY - len) : -1;

        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
        body[len] = '\0';
        end = strstr(body, "\r\n\r\n");
        if (end != NULL) {
            field = strstr(body, "Content-Length: ");
            want = (size_t)(end + 4 - body) + (field == NULL ? 0 : strtoul(field + 16, NULL, 10));
        }
    }
    return true;
}

static void
mode_read(int fd)
{
    ssize_t n = read(fd, mode, sizeof(mode) - 1);

    mode[n < 0 ? 0 : n] = '\0';
    mode[strcspn(mode, "\n")] = '\0';
    close(fd);
}

int
main(int argc, char **argv)
{
    int fd = open(MODE_FILE, O_RDONLY | O_CLOEXEC);

    if (argc != 2 || strcmp(argv[1], "--inside") != 0) {
        return 2;
    }
    if (fd < 0) {
        (void)execv(HONEST, argv);
        return 3;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    mode_read(fd);
    while (read_request()) {
        if (strncmp(body, "GET /v1/health ", 15) == 0 || strncmp(body, "POST /v1/prepare ", 17) == 0) {
            behave(HEALTH);
        } else if (strncmp(body, "POST /v1/steps ", 15) == 0) {
            text_after(body, "\"EVIL\":\"", mode, sizeof(mode));
            text_after(body, "\"stepId\":\"", step_id, sizeof(step_id));
            behave(STEP);
        } else {
            behave(FETCH);
        }
    }
    if (strcmp(mode, "step:immortal") == 0) {
        sleep_forever();
    }
    return 0;
}

#include "executor/check_host.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "executor/launcher/wire_report.h"
#include "executor/runtime/launch_message.h"
#include "lib/sbx_host.h"

#define ANSWER_SECONDS 5
#define REPORT_MAX 65536
#define WHY_LEN 512

/* The launcher serves one user. Root, who may ask for anybody, asks as that one: the socket's owner. */
static int
connect_as_owner(int fd, const struct sockaddr_un *address)
{
    struct stat st;
    bool is_root = geteuid() == 0;
    int r = 0;

    if (is_root && (stat(address->sun_path, &st) < 0 || seteuid(st.st_uid) < 0)) {
        return -errno;
    }
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
        r = -errno;
    }
    if (is_root && seteuid(0) < 0) {
        return -errno;
    }
    return r;
}

static int
launcher_connect(const char *path)
{
    const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int r, fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    r = connect_as_owner(fd, &address);
    if (r == 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
                   setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)) {
        r = -errno;
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

/* One request and its answer, of the same type. A positive value: what came is none. */
static int
launcher_ask(int fd, union launch_message *message, uint16_t type, uint64_t seq)
{
    size_t size = launch_request_size(type);
    char byte;
    ssize_t n;

    message->head = (struct launch_head){ .type = type, .size = (uint16_t)size, .seq = seq };
    if (send(fd, message, size, MSG_NOSIGNAL) != (ssize_t)size) {
        return -EPIPE;
    }
    /* Waits for the one that launch_receive then takes and judges. */
    n = recv(fd, &byte, 1, MSG_PEEK);
    if (n <= 0) {
        return n == 0 ? -ECONNRESET : -errno;
    }
    {
        struct launch_reply reply;
        int r = launch_receive(fd, &reply);

        if (r == 0) {
            *message = reply.message;
            launch_reply_deinit(&reply);
        }
        return r != 0 || message->head.type != type || message->head.seq != seq;
    }
}

/* 0, or why not in `why`. */
static int
walls_ask(struct launch_walls *ret, const char *path, char *why)
{
    union launch_message message = { .hello = { .version = LAUNCH_WIRE_VERSION } };
    int r, fd = launcher_connect(path);

    if (fd < 0) {
        (void)snprintf(why, WHY_LEN,
                       "no launcher answers at %.128s (%s): start sandbox-launch, or run `sandbox-launch "
                       "--check-host` as root",
                       path, strerror(-fd)); /* fits */
        return fd;
    }
    r = launcher_ask(fd, &message, LAUNCH_HELLO, 1);
    if (r == 0 && message.hello.version != LAUNCH_WIRE_VERSION) {
        r = 1;
    }
    if (r == 0) {
        r = launcher_ask(fd, &message, LAUNCH_WALLS, 2);
    }
    close(fd);
    if (r != 0) {
        (void)snprintf(why, WHY_LEN,
                       "the launcher at %.128s %s: is it of this version, and is this its executor's user? "
                       "`sandbox-launch --check-host` as root asks nobody",
                       path, r > 0 ? "answers with something else" : strerror(-r)); /* fits */
        return r;
    }
    *ret = message.walls;
    return 0;
}

/* What the kernel would let this process do: nothing beyond its user. */
static void
privileges_look(struct sbx_host_report *report)
{
    char line[256], value[64];
    FILE *status = fopen("/proc/self/status", "re");
    unsigned long long caps = 0;

    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, "CapPrm:", 7) == 0) {
            caps = strtoull(line + 7, NULL, 16);
        }
    }
    if (status != NULL) {
        (void)fclose(status); /* was only read */
    }
    (void)snprintf(value, sizeof(value), "%u", (unsigned)geteuid()); /* ten digits */
    sbx_host_add(report, "executord: user", value,
                 geteuid() == 0 ? "run executord as a user of its own; as root only this check" : NULL);
    (void)snprintf(value, sizeof(value), "%llx", caps); /* sixteen digits */
    sbx_host_add(report, "executord: capabilities", value,
                 caps != 0 && geteuid() != 0 ? "start it with none: setpriv --bounding-set -all, "
                                               "CapabilityBoundingSet="
                                             : NULL);
}

/* `forbidden`: bits of the mode that let somebody in. */
static void
mode_look(struct sbx_host_report *report, const char *name, const char *path, mode_t forbidden)
{
    char value[SBX_HOST_VALUE_LEN], remedy[SBX_HOST_VALUE_LEN];
    struct stat st;

    if (stat(path, &st) < 0) {
        (void)snprintf(value, sizeof(value), "%.100s: %s", path, strerror(errno)); /* fits */
        sbx_host_add(report, name, value, errno == ENOENT ? NULL : "run this as the user that executord has");
        return;
    }
    (void)snprintf(value, sizeof(value), "%.100s: mode %04o of user %u", path, (unsigned)(st.st_mode & 07777),
                   (unsigned)st.st_uid); /* fits */
    (void)snprintf(remedy, sizeof(remedy), "chmod %c-rwx %.100s", forbidden & 070 ? 'g' : 'o',
                   path); /* fits */
    if ((forbidden & 077) == 077) {
        (void)snprintf(remedy, sizeof(remedy), "chmod go-rwx %.100s", path); /* fits */
    }
    sbx_host_add(report, name, value, st.st_mode & forbidden ? remedy : NULL);
}

static void
files_look(struct sbx_host_report *report, const struct config *config)
{
    mode_look(report, "executord: context key", config->context_key_file, 007);
    mode_look(report, "executord: database", config->database_url, 077);
    mode_look(report, "executord: audit log", config->audit_dir, 002);
    mode_look(report, "executord: artifacts", config->artifacts_dir, 002);
    mode_look(report, "executord: socket", config->listen_socket, 007);
    mode_look(report, "launcher: socket", config->launcher_socket, 007);
}

/* What the configuration accepts is not required: it says so itself. */
static void
acceptance_look(struct sbx_host_report *report, const struct config *config)
{
    char names[SBX_HOST_VALUE_LEN];

    if (config->accept_missing != 0) {
        sbx_host_add(report, "executord: walls.accept_missing",
                     sbx_walls_text(config->accept_missing, names, sizeof(names)),
                     "every wall left out is a way that only the others close");
    }
    sbx_host_add(report, "executord: environment", config->environment,
                 config->production ? NULL : "ENV=production makes missing walls stop the start");
}

int
check_host(const struct config *config, bool json)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(REPORT_MAX);
    static struct sbx_host_report report;
    static struct launch_walls walls;
    char asked[WHY_LEN], why[WHY_LEN];

    (void)snprintf(asked, sizeof(asked), "the launcher at %.128s when it started", config->launcher_socket);
    report = (struct sbx_host_report){ .asked = asked,
                                       .cgroup = "",
                                       .required = SBX_WALLS_REQUIRED & ~config->accept_missing };
    if (walls_ask(&walls, config->launcher_socket, why) == 0) {
        launch_walls_report(&report, &walls);
    } else {
        report.unasked = why;
    }
    sbx_host_advise(&report, "");
    privileges_look(&report);
    files_look(&report, config);
    acceptance_look(&report, config);
    (json ? sbx_host_json : sbx_host_table)(&text, &report);
    if (text.failed || fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout) != 0 ||
        report.unasked != NULL) {
        return CHECK_HOST_UNASKED;
    }
    return sbx_host_missing(&report) == 0 ? CHECK_HOST_FINE : CHECK_HOST_MISSING;
}

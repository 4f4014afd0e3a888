#include "executor/launcher/runsc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sbx_time.h"

#define NOBODY 65534
#define ANSWER_MS 5000
#define ANSWER_MAX 65536

/*
 * Nothing of the host may be reached through it: no network, no sockets or pipes of the file systems, files through
 * the gofer and not by the sentry itself. Its logs have nowhere to go. File access "exclusive": nobody changes the
 * root, so the sentry may cache; but what can be written may have a second name, which to the gofer is another file,
 * so there it has to ask again. The disk's own size is the kernel's to hold.
 */
static const struct {
    const char *flag, *value;
    bool is_needed; /* else only where the build knows it */
} flags[] = {
    { "root", "/run", true },
    { "network", "none", true },
    { "ignore-cgroups", "true", true },
    { "file-access", "exclusive", true },
    { "file-access-mounts", "shared", false },
    { "log", "/dev/null", false },
    { "overlay2", "none", false },
    { "host-uds", "none", false },
    { "host-fifo", "none", false },
    { "directfs", "false", false },
    { "net-raw", "false", false },
};

static const char *const tail[] = { "run", ("--bundle=" RUNSC_BUNDLE), "sandbox" };

bool
runsc_knows(const char *text, const char *flag)
{
    size_t len = strlen(flag);

    for (const char *at = strstr(text, "  -"); at != NULL; at = strstr(at + 1, "  -")) {
        if (strncmp(at + 3, flag, len) == 0 && (at[3 + len] == ' ' || at[3 + len] == '\n')) {
            return true;
        }
    }
    return false;
}

_must_check_ int
runsc_arguments(struct runsc *runsc, const char *known)
{
    static char texts[SBX_COUNT(flags)][48];
    static char name[] = "runsc";

    _Static_assert(SBX_COUNT(flags) + SBX_COUNT(tail) + 2 <= RUNSC_MAX_ARGS, "argv has room for all");
    if (!runsc_knows(known, "platform")) {
        return -ENOTSUP;
    }
    runsc->n_args = 0;
    runsc->argv[runsc->n_args++] = name;
    for (size_t i = 0; i < SBX_COUNT(flags); i++) {
        if (runsc_knows(known, flags[i].flag)) {
            (void)snprintf(texts[i], sizeof(texts[i]), "--%s=%s", flags[i].flag, flags[i].value); /* fits */
            runsc->argv[runsc->n_args++] = texts[i];
        } else if (flags[i].is_needed) {
            return -ENOTSUP;
        }
    }
    return 0;
}

void
runsc_set_platform(struct runsc *runsc, enum settings_platform platform)
{
    static char words[SBX_COUNT(tail)][32];
    unsigned n = runsc->n_args;

    (void)snprintf(runsc->platform, sizeof(runsc->platform), "--platform=%s",
                   settings_platform_name(platform)); /* fits */
    runsc->argv[n++] = runsc->platform;
    for (size_t i = 0; i < SBX_COUNT(tail); i++) {
        memcpy(words[i], tail[i], strlen(tail[i]) + 1);
        runsc->argv[n++] = words[i];
    }
    runsc->argv[n] = NULL;
}

/* It is root's choice, but printing its version takes no rights. */
_Noreturn static void
child_ask(int fd, int out, char *question)
{
    char *const argv[] = { (char[]){ "runsc" }, question, NULL };
    char *const envp[] = { NULL };

    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2 &&
        syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) == 0 &&
        syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
        execveat(fd, "", argv, envp, AT_EMPTY_PATH);
    }
    _exit(127);
}

/* All that comes until the end, NUL-terminated; cut at ANSWER_MAX or the deadline. */
static void
answer_read(int in, char *ret)
{
    uint64_t end = sbx_now_mono_ms() + ANSWER_MS, now;
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0 && len < ANSWER_MAX && (now = sbx_now_mono_ms()) < end) {
        struct pollfd ready = { .fd = in, .events = POLLIN };

        n = poll(&ready, 1, (int)(end - now)) == 1 ? read(in, ret + len, ANSWER_MAX - len) : 0;
        len += n > 0 ? (size_t)n : 0;
    }
    ret[len] = '\0';
}

_must_check_ static int
runsc_ask(int fd, char *question, char *ret)
{
    int fds[2], status = 0;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    pid = fork();
    if (pid == 0) {
        child_ask(fd, fds[1], question);
    }
    close(fds[1]);
    if (pid > 0) {
        answer_read(fds[0], ret);
        (void)kill(pid, SIGKILL); /* one that answered is done */
        (void)waitpid(pid, &status, 0);
    }
    close(fds[0]);
    return pid < 0 ? -errno : 0;
}

/* "runsc version 0.0~20221219.0\nspec: ..." */
_must_check_ static int
version_take(struct runsc *runsc, const char *text)
{
    static const char prefix[] = "runsc version ";
    size_t len;

    if (strncmp(text, prefix, strlen(prefix)) != 0) {
        return -EINVAL;
    }
    text += strlen(prefix);
    len = strcspn(text, "\n");
    if (len == 0 || len >= sizeof(runsc->version)) {
        return -EINVAL;
    }
    memcpy(runsc->version, text, len);
    runsc->version[len] = '\0';
    return 0;
}

/* Whoever can write it is root in all but name. */
_must_check_ static int
binary_open(int *ret_fd, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 022) || st.st_uid != 0) {
        close(fd);
        return -EPERM;
    }
    *ret_fd = fd;
    return 0;
}

_must_check_ static int
binary_find(int *ret_fd, const struct settings *settings)
{
    static const char *const usual[] = { "/usr/bin/runsc", "/usr/local/bin/runsc" };
    int r = -ENOENT;

    if (strcmp(settings->runsc, "auto") != 0) {
        return binary_open(ret_fd, settings->runsc);
    }
    for (size_t i = 0; i < SBX_COUNT(usual) && r == -ENOENT; i++) {
        r = binary_open(ret_fd, usual[i]);
    }
    return r == -ENOENT ? RUNSC_E_ABSENT : r;
}

_must_check_ int
runsc_open(struct runsc *ret, const struct settings *settings, char *error)
{
    static char text[ANSWER_MAX + 1];
    struct runsc runsc = RUNSC_NULL;
    const char *what = "cannot be opened, or others than root can write it";
    int r;

    if (strcmp(settings->runsc, "no") == 0) {
        return RUNSC_E_ABSENT;
    }
    r = binary_find(&runsc.fd, settings);
    if (r == 0) {
        what = "does not say its version as runsc does";
        r = runsc_ask(runsc.fd, (char[]){ "--version" }, text);
        r = r < 0 ? r : version_take(&runsc, text);
    }
    if (r == 0) {
        what = "does not know a flag that must be";
        r = runsc_ask(runsc.fd, (char[]){ "flags" }, text);
        r = r < 0 ? r : runsc_arguments(&runsc, text);
    }
    if (r < 0) {
        (void)snprintf(error, SETTINGS_ERROR_LEN, "runsc = %.128s: %s", settings->runsc, what);
    }
    if (r != 0) {
        runsc_close(&runsc);
        return r;
    }
    *ret = runsc;
    return 0;
}

void
runsc_close(struct runsc *runsc)
{
    if (runsc->fd >= 0) {
        close(runsc->fd);
        runsc->fd = -1;
    }
}

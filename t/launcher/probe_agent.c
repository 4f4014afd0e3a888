/*
 * Stands in for the session agent: runs as pid 1, does for a payload what the
 * contract asks of the agent, and lets a test look at everything. Line protocol on
 * descriptor 3: a request a line, the reply's lines, then a line ".".
 *
 *   sh COMMAND     payload: /bin/sh -c COMMAND, its output, then "status=N"
 *   bg COMMAND     the same without waiting, output to descriptors 5 and 6
 *   cat FILE       read by the agent itself
 *   fds            the agent's descriptors with what they are
 *   try WHAT       a forbidden thing tried by the agent itself: mount, unshare, ptrace, inet
 *   exit N, crash  the agent's end
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTROL 3
#define FILTER 7
#define MAX_INSNS 4096

static struct sock_filter insns[MAX_INSNS];
static struct sock_fprog program = { .filter = insns };

_Noreturn static void
fail(const char *what)
{
    dprintf(CONTROL, "probe: %s: %s\n.\n", what, strerror(errno));
    _exit(3);
}

static void
filter_read(void)
{
    ssize_t n = read(FILTER, insns, sizeof(insns));

    if (n <= 0 || (size_t)n % sizeof(insns[0]) != 0) {
        fail("filter");
    }
    program.len = (unsigned short)((size_t)n / sizeof(insns[0]));
}

static void
become_payload(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { 0 };

    for (int cap = 0; cap < 64; cap++) {
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    }
    if (syscall(SYS_setresgid, 1000, 1000, 1000) < 0 || syscall(SYS_setresuid, 1000, 1000, 1000) < 0 ||
        syscall(SYS_capset, &head, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        chdir("/workspace") < 0) {
        _exit(121);
    }
}

static void
payload_exec(const char *command, int out)
{
    char *argv[] = { strdup("sh"), strdup("-c"), strdup(command), NULL };
    char *envp[] = { strdup("PATH=/usr/bin:/bin"), strdup("HOME=/workspace"), strdup("TMPDIR=/tmp"), NULL };

    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    become_payload();
    if (dup2(out >= 0 ? out : 5, 1) < 0 || dup2(out >= 0 ? out : 6, 2) < 0 || close_range(3, ~0u, 0) < 0 ||
        prctl(PR_SET_SECCOMP, 2, &program, 0, 0) < 0) {
        _exit(122);
    }
    execve("/bin/sh", argv, envp);
    _exit(123);
}

static void
sh(const char *command)
{
    char chunk[4096];
    int fds[2], status = 0;
    ssize_t n;
    pid_t pid = -1, other;

    if (pipe(fds) < 0 || (pid = fork()) < 0) {
        fail("fork");
    }
    if (pid == 0) {
        close(fds[0]);
        payload_exec(command, fds[1]);
    }
    close(fds[1]);
    while ((n = read(fds[0], chunk, sizeof(chunk))) > 0) {
        if (write(CONTROL, chunk, (size_t)n) != n) {
            _exit(4);
        }
    }
    close(fds[0]);
    while ((other = waitpid(-1, &status, 0)) > 0 && other != pid) {
    }
    dprintf(CONTROL, "\nstatus=%d signal=%d\n.\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void
bg(const char *command)
{
    pid_t pid = fork();

    if (pid == 0) {
        payload_exec(command, -1);
    }
    dprintf(CONTROL, "pid=%d\n.\n", (int)pid);
}

static void
cat(const char *path)
{
    char chunk[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        dprintf(CONTROL, "errno=%d\n.\n", errno);
        return;
    }
    while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
        if (write(CONTROL, chunk, (size_t)n) != n) {
            _exit(4);
        }
    }
    close(fd);
    dprintf(CONTROL, "\n.\n");
}

static void
list_fds(void)
{
    char target[256], path[300];
    struct dirent *entry;
    DIR *dir = opendir("/proc/self/fd");

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        ssize_t n;

        if (entry->d_name[0] == '.' || (int)strtol(entry->d_name, NULL, 10) == dirfd(dir)) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
        n = readlink(path, target, sizeof(target) - 1);
        target[n < 0 ? 0 : n] = '\0';
        dprintf(CONTROL, "%s %s\n", entry->d_name, target);
    }
    closedir(dir);
    dprintf(CONTROL, ".\n");
}

static void
attempt(const char *what)
{
    long r = -1;

    errno = 0;
    if (strcmp(what, "mount") == 0) {
        r = mount("none", "/workspace", "tmpfs", 0, NULL);
    } else if (strcmp(what, "unshare") == 0) {
        r = unshare(CLONE_NEWUSER);
    } else if (strcmp(what, "ptrace") == 0) {
        r = ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    } else if (strcmp(what, "inet") == 0) {
        r = socket(AF_INET, SOCK_STREAM, 0);
    } else if (strcmp(what, "write-filter") == 0) {
        r = pwrite(FILTER, "x", 1, 0);
    }
    dprintf(CONTROL, "result=%ld errno=%d\n.\n", r, errno);
}

static void
handle(char *line)
{
    char *argument = strchr(line, ' ');

    if (argument != NULL) {
        *argument++ = '\0';
    } else {
        argument = line + strlen(line);
    }
    if (strcmp(line, "sh") == 0) {
        sh(argument);
    } else if (strcmp(line, "bg") == 0) {
        bg(argument);
    } else if (strcmp(line, "cat") == 0) {
        cat(argument);
    } else if (strcmp(line, "fds") == 0) {
        list_fds();
    } else if (strcmp(line, "try") == 0) {
        attempt(argument);
    } else if (strcmp(line, "exit") == 0) {
        _exit((int)strtol(argument, NULL, 10));
    } else if (strcmp(line, "crash") == 0) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV); /* pid 1 is deaf to what it sends itself */
        _exit(9);
    } else {
        dprintf(CONTROL, "ready\n.\n");
    }
}

int
main(int argc, char **argv)
{
    char line[8192];
    FILE *in = fdopen(CONTROL, "r");

    if (argc != 2 || strcmp(argv[1], "--inside") != 0 || in == NULL) {
        return 2;
    }
    filter_read();
    while (fgets(line, sizeof(line), in) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        handle(line);
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
    }
    return 0;
}

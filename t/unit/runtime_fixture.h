/*
 * For tests of the tiers for real: sandbox-launch, session-agent and interpreters, as root. One launcher for the
 * whole program.
 */
#pragma once

#include "executor/runtime/runtime.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uv.h>

#include "t/unit/tap.h"

enum { PATIENCE_MS = 30000, MiB = 1 << 20 };

static uv_loop_t loop;
static struct runtime *runtime;
static char out_dir[256], work_dir[64], launch_socket[96];
static pid_t launcher;
static unsigned uid_base;
static unsigned n_up, n_down;
static bool with_gvisor;
static bool is_preparing; /* sandboxes for the language of what will run in them */

static void
on_log(void *arg _unused_, const char *event, const char *detail)
{
    n_up += strcmp(event, "launcher.up") == 0;
    n_down += strcmp(event, "launcher.down") == 0;
    note("%s %s", event, detail);
}

static bool
turn_until(const unsigned *counter, unsigned wanted)
{
    uint64_t end = uv_hrtime() + (uint64_t)PATIENCE_MS * 1000000;
    struct pollfd pollfd = { .fd = uv_backend_fd(&loop), .events = POLLIN };

    while (*counter < wanted && uv_hrtime() < end) {
        uv_run(&loop, UV_RUN_NOWAIT);
        (void)poll(&pollfd, 1, 1);
    }
    return *counter >= wanted;
}

static void
write_config(const char *path)
{
    FILE *file = fopen(path, "we");

    assert(file != NULL);
    (void)fchmod(fileno(file), 0600);
    fprintf(file, "socket = %s\nagent = %s/session-agent\nopt_dir = %s/opt\nstate_dir = %s/state\n",
            launch_socket, out_dir, work_dir, work_dir);
    fprintf(file, "instance = rp%07d\nuid_base = %u\nmax_sandboxes = 64\n%stemplate.default.root = /\n",
            (int)getpid(), uid_base, with_gvisor ? "" : "runsc = no\n");
    fclose(file);
}

static void
copy_file(const char *from, const char *to)
{
    static char data[MiB];
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    size_t n;

    assert(in != NULL && out != NULL);
    n = fread(data, 1, sizeof(data), in);
    assert(fwrite(data, 1, n, out) == n);
    fclose(in);
    fclose(out);
}

static void
launcher_start(void)
{
    char config[128], binary[320], log[128];

    (void)snprintf(config, sizeof(config), "%s/conf", work_dir);
    (void)snprintf(log, sizeof(log), "%s/log", work_dir);
    (void)snprintf(binary, sizeof(binary), "%s/sandbox-launch", out_dir);
    launcher = fork();
    if (launcher == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

        (void)dup2(fd, 1);
        (void)dup2(fd, 2);
        /* It gives up the right to be traced, which is how leaks are looked for. */
        (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
        execl(binary, binary, "--config", config, (char *)NULL);
        _exit(127);
    }
    assert(launcher > 0);
}

static int
launcher_stop(int sig)
{
    int status = 0;

    kill(launcher, sig);
    (void)waitpid(launcher, &status, 0);
    launcher = 0;
    return status;
}

/* Processes with a user id of this launcher's sandboxes. */
static unsigned
n_processes(void)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    unsigned n = 0;

    while ((entry = readdir(dir)) != NULL) {
        char path[300];
        struct stat st;

        (void)snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && stat(path, &st) == 0) {
            n += st.st_uid >= uid_base && st.st_uid < uid_base + 4 * 64;
        }
    }
    closedir(dir);
    return n;
}

static bool
processes_end(void)
{
    uint64_t end = uv_hrtime() + (uint64_t)PATIENCE_MS * 1000000;

    while (n_processes() > 0 && uv_hrtime() < end) {
        (void)poll(NULL, 0, 2);
    }
    return n_processes() == 0;
}

static void
copy_drivers(void)
{
    DIR *dir = opendir("session-agent/drivers");
    struct dirent *entry;
    char from[320], to[400];

    assert(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && entry->d_type == DT_REG) {
            (void)snprintf(from, sizeof(from), "session-agent/drivers/%s", entry->d_name);
            (void)snprintf(to, sizeof(to), "%s/opt/drivers/%s", work_dir, entry->d_name);
            copy_file(from, to);
        }
    }
    closedir(dir);
}

/* A number that no other program of these has now: held by a socket without a file, as t/lib/Sandbox/Slot.pm holds its own. */
static unsigned
slot_take(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    for (unsigned i = 0; i < 1000; i++) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        unsigned slot = ((unsigned)getpid() + i) % 1000;

        (void)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "sandbox-test-runtime-%u", slot);
        if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
            return slot; /* until the program's end */
        }
    }
    BAIL_OUT("no number is free");
}

static void
begin(void)
{
    struct process_spec spec = {
        .loop = &loop,
        .launch_socket = launch_socket,
        .create_timeout_ms = 10000,
        .agent_timeout_ms = 10000,
        .log = on_log,
    };
    char path[400];
    ssize_t n;

    if (geteuid() != 0) {
        BAIL_OUT("needs root: it makes real sandboxes");
    }
    n = readlink("/proc/self/exe", out_dir, sizeof(out_dir) - 1);
    assert(n > 0);
    out_dir[n] = '\0';
    for (unsigned i = 0; i < 3; i++) { /* <out>/t/unit/runtime_process */
        *strrchr(out_dir, '/') = '\0';
    }
    memcpy(work_dir, "/tmp/runtime_process.XXXXXX", sizeof("/tmp/runtime_process.XXXXXX"));
    assert(mkdtemp(work_dir) != NULL);
    uid_base = 10000000 + slot_take() * 512; /* four for each of 64, and those of its helpers behind */
    (void)snprintf(launch_socket, sizeof(launch_socket), "%s/socket", work_dir);
    (void)snprintf(path, sizeof(path), "%s/opt", work_dir);
    assert(mkdir(path, 0755) == 0);
    (void)snprintf(path, sizeof(path), "%s/opt/drivers", work_dir);
    assert(mkdir(path, 0755) == 0);
    (void)snprintf(path, sizeof(path), "%s/opt/runtimes.json", work_dir);
    copy_file("session-agent/runtimes.json", path);
    copy_drivers();
    (void)snprintf(path, sizeof(path), "%s/state", work_dir);
    assert(mkdir(path, 0700) == 0);
    (void)snprintf(path, sizeof(path), "%s/conf", work_dir);
    write_config(path);
    launcher_start();
    uv_loop_init(&loop);
    assert((with_gvisor ? runtime_gvisor_new : runtime_process_new)(&runtime, &spec) == 0);
    if (!turn_until(&n_up, 1)) {
        BAIL_OUT("the launcher does not start: see %s/log", work_dir);
    }
}

static bool
log_is_clean(void)
{
    static char log[4 * MiB];
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/log", work_dir);
    file = fopen(path, "re");
    assert(file != NULL);
    log[fread(log, 1, sizeof(log) - 1, file)] = '\0';
    fclose(file);
    return strstr(log, "Sanitizer") == NULL && strstr(log, "runtime error") == NULL &&
           strstr(log, "Assertion") == NULL;
}

static int
remove_one(const char *path, const struct stat *st _unused_, int type _unused_, struct FTW *ftw _unused_)
{
    return remove(path);
}

static void
end(void)
{
    int status;

    runtime = runtime->ops->free(runtime);
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0) {
    }
    is_int(uv_loop_close(&loop), 0, "no handle is left");
    status = launcher_stop(SIGTERM);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the launcher ends cleanly");
    is_uint(n_processes(), 0, "no process is left");
    ok(log_is_clean(), "and its log has no sanitizer's report");
    if (tap_.failed > 0) {
        diag("the launcher's log is in %s", work_dir);
        return;
    }
    is_int(nftw(work_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0, "nothing is left behind");
}

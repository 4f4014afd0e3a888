// title: crash with a core dump: a file of the host's pattern, or a program of the host's to handle it
// wall: rlimits
// tier: process
// without: a crash inside gVisor is the sentry's to handle, which writes no core
#include "attack.h"
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

int
main(void)
{
    struct rlimit core;
    struct dirent *entry;
    int status = 0;
    pid_t pid;
    DIR *dir;

    getrlimit(RLIMIT_CORE, &core);
    core.rlim_cur = core.rlim_max;
    setrlimit(RLIMIT_CORE, &core);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_DUMPABLE, 1);
        abort();
    }
    waitpid(pid, &status, 0);
    if (WCOREDUMP(status)) {
        escaped("the kernel dumped core, limit %llu", (unsigned long long)core.rlim_max);
    }
    dir = opendir(".");
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "core", 4) == 0) {
            escaped("there is a file %s", entry->d_name);
        }
    }
    held("limit %llu", (unsigned long long)core.rlim_max);
}

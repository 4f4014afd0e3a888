// title: kill everything that can be named, stop the rest, then see whether steps still end and nothing hangs
// wall: sweep
// steps: 2
#include "attack.h"
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

int
main(int argc, char **argv)
{
    DIR *dir;
    struct dirent *entry;
    int others = 0;

    if (argc > 1 && strcmp(argv[1], "again") == 0) {
        dir = opendir("/proc");
        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            others += strtol(entry->d_name, NULL, 10) > 1 && strtol(entry->d_name, NULL, 10) != getpid();
        }
        if (others > 0) {
            escaped("%d processes of the first step are left", others);
        }
        held("the agent serves on");
    }
    kill(1, SIGKILL);
    kill(1, SIGSTOP);
    kill(0, SIGCONT);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            setsid();
            if (vfork() == 0) {
                for (;;) {
                    pause();
                }
            }
        }
    }
    usleep(50000);
    raise(SIGKILL);
    return 0;
}

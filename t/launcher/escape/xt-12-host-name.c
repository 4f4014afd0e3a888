// title: tell another sandbox something by the host's name
// wall: seccomp capabilities uts_namespace
// parties: 2
#include "attack.h"
#include <sys/utsname.h>

int
main(int argc, char **argv)
{
    struct utsname name;
    int is_victim = argc > 1 && strcmp(argv[1], "victim") == 0;

    if (is_victim) {
        int r = sethostname("told", 4);

        printf("READY %d\n", r);
        fflush(stdout);
        sleep(6);
        held("waited");
    }
    uname(&name);
    if (strcmp(name.nodename, "told") == 0) {
        escaped("the name is what the other set");
    }
    held("%s", name.nodename);
}

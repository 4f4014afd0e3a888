// title: read the host's name, and tell another sandbox something by it
// wall: uts_namespace
// parties: 2
#include "attack.h"
#include <sys/utsname.h>

int
main(int argc, char **argv)
{
    struct utsname name;

    if (argc > 1 && strcmp(argv[1], "victim") == 0) {
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
    if (strcmp(name.nodename, "sandbox") != 0 && strcmp(name.nodename, "runsc") != 0) {
        escaped("the host is called %s", name.nodename);
    }
    held("%s", name.nodename);
}

#include "sbx_signal.h"

#include <signal.h>
#include <string.h>

static const struct {
    const char *name;
    int number;
} all[] = { { "SIGHUP", SIGHUP },   { "SIGINT", SIGINT },   { "SIGQUIT", SIGQUIT },  { "SIGKILL", SIGKILL },
            { "SIGUSR1", SIGUSR1 }, { "SIGUSR2", SIGUSR2 }, { "SIGTERM", SIGTERM },  { "SIGCONT", SIGCONT },
            { "SIGSTOP", SIGSTOP }, { "SIGTSTP", SIGTSTP }, { "SIGWINCH", SIGWINCH } };

int
sbx_signal_parse(const char *name)
{
    for (size_t i = 0; i < SBX_COUNT(all); i++) {
        if (strcmp(name, all[i].name) == 0) {
            return all[i].number;
        }
    }
    return 0;
}

const char *
sbx_signal_name(int number)
{
    for (size_t i = 0; i < SBX_COUNT(all); i++) {
        if (number == all[i].number) {
            return all[i].name;
        }
    }
    return NULL;
}

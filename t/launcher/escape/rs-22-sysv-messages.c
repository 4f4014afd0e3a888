// title: System V messages nobody receives
// wall: memory
// limits: memory=64m
// expect: limit memory held
// tier: process
// without: gVisor limits a queue to 16 KiB and queues to 32000, all of it the sentry's heap (rs-21)
#include "attack.h"
#include <sys/ipc.h>
#include <sys/msg.h>

static struct {
    long type;
    char text[8192];
} message = { 1, { 1 } };

int
main(void)
{
    unsigned long total = 0;
    int queue;

    while (total < 192u << 20 && (queue = msgget(IPC_PRIVATE, 0600)) >= 0) {
        while (msgsnd(queue, &message, sizeof(message.text), IPC_NOWAIT) == 0) {
            total += sizeof(message.text);
        }
    }
    if (total >= 192u << 20) {
        escaped("%lu MiB of messages", total >> 20);
    }
    held("%lu MiB: %s", total >> 20, strerror(errno));
}

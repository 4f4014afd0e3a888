/*
 * Linked into the sanitized session-agent: what the sanitizers have to know about life as pid 1 of a sandbox,
 * with an empty environment, /dev/null as standard error and a filter that has no ptrace.
 */
#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#include <stdint.h>
#include <unistd.h>

#define PAYLOAD_STDERR 6

static int
is_inside(void)
{
    return getpid() == 1;
}

/*
 * The launcher logs the exit status, and t/lib/Sandbox.pm looks there for this one. Freed blocks that are
 * kept aside and fake stacks would count against the memory limit of the sandbox.
 */
const char *
__asan_default_options(void)
{
    return is_inside() ? "exitcode=86:quarantine_size_mb=1:malloc_context_size=8:symbolize=0:"
                         "detect_stack_use_after_return=0"
                       : "";
}

/* The leak checker stops threads with ptrace. Standalone, the same code is looked at. */
int
__lsan_is_turned_off(void)
{
    return is_inside();
}

/* The one way out that a test sees: the job's standard error. */
__attribute__((constructor)) static void
report_to_payload_stderr(void)
{
    /* In gVisor there are three descriptors, and the job's standard error is the usual one. */
    if (is_inside() && fcntl(PAYLOAD_STDERR, F_GETFD) >= 0) {
        __sanitizer_set_report_fd((void *)(uintptr_t)PAYLOAD_STDERR);
    }
}

/*
 * Linked into the sanitized nginx: what it never gives back by intent. Compiled regular expressions; the
 * event arrays of a worker that exits; everything, when it only tests a configuration.
 */
#include <sanitizer/lsan_interface.h>
#include <stddef.h>
#include <stdint.h>

/* Weak: configure links its probes with this file too. */
extern uintptr_t ngx_test_config __attribute__((weak));

const char *
__lsan_default_suppressions(void)
{
    return "leak:ngx_regex_malloc\nleak:ngx_event_process_init\n";
}

int
__lsan_is_turned_off(void)
{
    return &ngx_test_config != NULL && ngx_test_config != 0;
}

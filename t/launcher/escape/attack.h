/* What the corpus' C programs share. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

static void __attribute__((noreturn, format(printf, 1, 2), unused)) held(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    printf("HELD ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    fflush(stdout);
    _exit(0);
}

static void __attribute__((noreturn, format(printf, 1, 2), unused)) escaped(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    printf("ESCAPED ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    fflush(stdout);
    _exit(0);
}

/* What its kernel says of itself, all builds alike: some bounds are others there. */
static int __attribute__((unused)) is_gvisor(void)
{
    static int known = -1;
    struct utsname name;

    if (known < 0) {
        known = uname(&name) == 0 && strcmp(name.release, "4.4.0") == 0;
    }
    return known;
}

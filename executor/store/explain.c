#include "explain.h"

#include <stdarg.h>
#include <stdio.h>

void
explain(char *out, size_t size, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(out, size, fmt, args); /* the end of a long one is no loss */
    va_end(args);
}

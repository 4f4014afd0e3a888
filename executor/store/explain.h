/* Sentences for the operator, written into a caller's buffer; one that does not fit is cut. */
#pragma once

#include "lib/sbx_base.h"

void _printf_(3, 4) explain(char *out, size_t size, const char *fmt, ...);

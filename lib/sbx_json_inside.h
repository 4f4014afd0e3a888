/* Between the files of lib/sbx_json*.c. */
#pragma once

#include "sbx_json.h"

#pragma GCC visibility push(hidden)

/*
 * The value that json_loadb() would build of the document, at a fraction of its cost; the caller's to json_decref. NULL: the
 * document may be fine or not, ask jansson. Never a value where jansson or a ceiling of lib/sbx_json.h would refuse.
 */
_must_check_ json_t *sbx_json_read(const char *data, size_t len);

#pragma GCC visibility pop

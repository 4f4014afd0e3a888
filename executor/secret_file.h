/* A key in a file: one line end at the end is not part of it. */
#pragma once

#include "lib/sbx_base.h"

#define SECRET_FILE_MAX 4096

struct secret {
    uint8_t data[SECRET_FILE_MAX];
    size_t len;
};

/* -errno; -EMSGSIZE when it is larger than SECRET_FILE_MAX. */
_must_check_ int secret_file_read(struct secret *ret, const char *path);
void secret_wipe(struct secret *secret);

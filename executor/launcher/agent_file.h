/*
 * The agent's binary, copied once into a sealed memory file: what runs as pid 1 of a
 * sandbox is never a file of the host (CVE-2019-5736). Nobody may read it; `owner` is the id
 * that no sandbox knows.
 */
#pragma once

#include <sys/types.h>

#include "lib/sbx_base.h"

_must_check_ int agent_file_load(int *ret_fd, const char *path, uid_t owner);

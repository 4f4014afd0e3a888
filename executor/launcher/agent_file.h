/*
 * The agent's binary, copied once into a sealed memory file: what runs as pid 1 of a
 * sandbox is never a file of the host (CVE-2019-5736).
 */
#pragma once

#include "lib/sbx_base.h"

_must_check_ int agent_file_load(int *ret_fd, const char *path);

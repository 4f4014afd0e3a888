/*
 * The memory of a zygote's interpreter on huge pages: a fork copies, and the end of a slot takes down, an entry for
 * each 2 MiB and not for each 4 KiB of what the slot did not write.
 */
#pragma once

#include <stdint.h>

/* Before serving. What the kernel has no huge page for stays as it is. No later memory is concerned. */
void huge_collapse(void);
/* Of what is by then the heap and the arenas, each piece; whole pages. */
void huge_each(void (*with)(uintptr_t start, uintptr_t end));

/*
 * The pages that a program will want, had by a slot while it waits for one: each that it writes to must be copied, and
 * what it reads of a file be mapped. A child of the zygote that runs a program of nobody to its end tells which. Only
 * what is there already changes hands: a slot runs nothing for it, and no byte of it is another.
 */
#pragma once

#include <stdbool.h>

/*
 * Before serving, once for each kind of work; what is kept is what all of them want. True: this is the child, which calls
 * prefault_note() as the last thing.
 */
bool prefault_learn(void);
/* In the child: which pages it has by now. Its memory is of no use afterwards. */
void prefault_note(void);
/* In a slot. Until all are there, or something is to be read from `fd`. */
void prefault_run(int fd);

/*
 * Zygotes: per template one interpreter, started once, that is forked into sandboxes as their slot (docs/launcher.md,
 * "Zygotes"). A zygote has no capability; it reaches a sandbox because its user owns the user
 * namespace above the sandbox's.
 *
 *   none --> starting --> ready --> ending --> none
 *               \___________________/
 *
 * Without one, sandboxes are as good as with it: their agents start an interpreter themselves.
 */
#pragma once

#include "executor/launcher/sandbox.h"

/* Decides for which templates there are any. */
void zygotes_init(struct sandbox_host *host);
/* The first are made by the next tick. */
void zygotes_begin(void);
/* Ends all; they leave as the loop goes on. */
void zygotes_stop(void);
bool zygotes_idle(void);
/* Time for what nobody announces. Call after every wait. */
void zygotes_tick(void);
/* How long the loop may wait, in ms; -1 for ever. */
int zygotes_timeout(void);
/* From the loop; `id` may be that of one gone meanwhile. */
void zygote_on_event(uint64_t id);

/* True: a slot of the language can be forked into a sandbox of the template now, by the zygote *ret. */
bool zygote_serves(unsigned *ret, const struct sandbox_host *host, const struct settings_template *template,
                   const char *language);
/* The sandbox, whose agent has been executed, gets the slot that was meant for it. Takes slot_fd; when nothing comes of
 * it the agent sees the end of its socket. False: none was meant, or the zygote could not be asked. */
bool zygote_fork(struct sandbox *sb);

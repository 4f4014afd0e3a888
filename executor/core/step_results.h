/*
 * The rich output in a step's record, item by item and without copies: an array that step_displays.c wrote, and nobody else,
 * of up to 40 MiB of which a reader mostly wants little. Text that it did not write ends the walk.
 */
#pragma once

#include "lib/sbx_base.h"

/* {"kind","data":{mime: value, ...}} */
struct step_result {
    bool is_result; /* the last expression's value, else a display call's */
    const char *text;
    size_t len;
    const char *items; /* of data, for step_result_item */
};

/* *rest is the array's text at first. False after the last. Borrows. */
bool step_results_next(const char **rest, struct step_result *ret);

struct step_result_item {
    char mime[128];    /* cut when longer */
    const char *value; /* JSON: base64 in a string, unless the type is text or JSON */
    size_t len;
};

/* *rest is result->items at first. */
bool step_result_item_next(const char **rest, struct step_result_item *ret);

// title: put a segment into the local descriptor table
// wall: seccomp_calls
// source: CVE-2015-5157, CVE-2017-17053
#include "attack.h"

#include <asm/ldt.h>

int
main(void)
{
    struct user_desc segment = {
        .entry_number = 0, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .useable = 1
    };
    char table[64];

    if (syscall(SYS_modify_ldt, 1, &segment, sizeof(segment)) == 0) {
        escaped("a segment");
    }
    if (syscall(SYS_modify_ldt, 0, table, sizeof(table)) >= 0) {
        escaped("the table is read");
    }
    held("%s", strerror(errno));
}

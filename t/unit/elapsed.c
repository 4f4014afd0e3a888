/* Ages of what another worker wrote, by a clock that may be behind its. */
#include "ngx_sandbox_module/ngx_sandbox_elapsed.h"
#include "t/unit/tap.h"

int
main(void)
{
    is_uint(ngx_sandbox_elapsed(1500, 1000), 500, "the time between");
    is_uint(ngx_sandbox_elapsed(1000, 1000), 0, "none at the same moment");
    is_uint(ngx_sandbox_elapsed(999, 1000), 0, "none for a clock that is behind by a millisecond");
    is_uint(ngx_sandbox_elapsed(0, UINT64_MAX), 0, "nor by any other");
    is_uint(ngx_sandbox_elapsed(UINT64_MAX, 0), UINT64_MAX, "all of it for one that is ahead");
    return done_testing();
}

/* An artifact on its way from a client into the store, no faster than the disk takes it. */
#pragma once

struct call;
struct artifact_upload;

/* With the head of POST /v1/artifacts: refuses early what is too large, else streams the body. */
void artifact_upload_begin(struct call *call);
/* The body has ended. */
void artifact_upload_end(struct call *call);
/* The call is over: what was not stored goes. Accepts NULL, returns NULL. */
struct artifact_upload *artifact_upload_free(struct artifact_upload *upload);

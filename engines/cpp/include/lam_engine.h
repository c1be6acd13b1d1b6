/* The C interface of lam_engine, for C and for whatever binds to it. No exception leaves it, and there is no global
   state. All strings are UTF-8. */
#ifndef LAM_ENGINE_H
#define LAM_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_C_API __attribute__((visibility("default")))

/* A loaded bundle. One engine may serve many threads. */
typedef struct lam_engine lam_engine;

typedef enum lam_status {
    LAM_OK = 0,
    LAM_BUNDLE_ERROR = 1, /* the bundle is missing, altered or broken, or has nothing that the backend runs */
    LAM_ENGINE_ERROR = 2, /* the backend, its runtime or its device is not there; or memory does not suffice */
    LAM_INPUT_ERROR = 3,  /* a text or an id that the engine may not be given, or a null pointer */
    LAM_OTHER_ERROR = 4   /* anything else; a fault of the library */
} lam_status;

/* How a bundle is loaded. Zeros mean the backend's own choice: lam_options options = {0}. */
typedef struct lam_options {
    const char* backend;   /* "openvino", "tensorrt" or "tensorrt-rtx" */
    const char* precision; /* openvino "fp32" (its default) or "bf16"; the others "fp16" or "fp32" */
    int threads;           /* of the CPU, for each operator */
    const char* cache;     /* a folder for openvino's compiled graphs; used unchecked, so keep it private */
} lam_options;

/* Load a bundle into *engine, to be given back with lam_engine_free. options may be null.

   Every function that returns a status sets *error (unless error is null) to null or, if it fails, to a message of one
   line, to be given back with lam_string_free. */
LAM_C_API lam_status lam_engine_load(const char* bundle, const lam_options* options, lam_engine** engine, char** error);

/* Give an engine back, once no other call uses it. Null is ignored. */
LAM_C_API void lam_engine_free(lam_engine* engine);

/* Embed count texts: lengths[i] bytes at texts[i], or up to the zero byte where lengths is null.

   embeddings has room for count * lam_engine_hidden_size(engine) floats; text i's are those from i * hidden_size on, of
   unit length. At most batch_tokens tokens go through the model at once; 0: the backend's own choice. */
LAM_C_API lam_status lam_engine_embed(const lam_engine* engine, const char* const* texts, const size_t* lengths,
                                      size_t count, size_t batch_tokens, float* embeddings, char** error);

/* Embed count tokenised texts: lengths[i] ids each, one text after the other in ids, special tokens included, without
   padding. A text of no ids gives zeros. */
LAM_C_API lam_status lam_engine_embed_ids(const lam_engine* engine, const int64_t* ids, const size_t* lengths,
                                          size_t count, size_t batch_tokens, float* embeddings, char** error);

/* The length of an embedding. */
LAM_C_API size_t lam_engine_hidden_size(const lam_engine* engine);

/* The longest text that the engine takes, in tokens; 0: any. */
LAM_C_API size_t lam_engine_max_tokens(const lam_engine* engine);

/* Give a message back. Null is ignored. */
LAM_C_API void lam_string_free(char* string);

/* The version of the library. */
LAM_C_API const char* lam_version(void);

#ifdef __cplusplus
}
#endif

#endif

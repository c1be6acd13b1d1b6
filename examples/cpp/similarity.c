/* similarity_c BUNDLE TEXT TEXT: the cosine of two texts. */

#include <stdio.h>
#include <stdlib.h>

#include "lam_engine.h"

static int failed(char* error) {
    fprintf(stderr, "error: %s\n", error ? error : "out of memory");
    lam_string_free(error);
    return 1;
}

int main(int argc, char** argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: similarity_c BUNDLE TEXT TEXT\n");
        return 1;
    }
    char* error = NULL;
    lam_engine* engine = NULL;
    if (lam_engine_load(argv[1], NULL, &engine, &error) != LAM_OK) return failed(error);

    const size_t size = lam_engine_hidden_size(engine);
    const char* texts[] = {argv[2], argv[3]};
    float* vectors = malloc(2 * size * sizeof *vectors);
    const lam_status status = vectors ? lam_engine_embed(engine, texts, NULL, 2, 0, vectors, &error) : LAM_OTHER_ERROR;
    double cosine = 0;
    if (status == LAM_OK)
        for (size_t i = 0; i < size; i++) cosine += (double)vectors[i] * vectors[size + i];
    free(vectors);
    lam_engine_free(engine);
    if (status != LAM_OK) return failed(error);
    printf("%g\n", cosine);
    return 0;
}

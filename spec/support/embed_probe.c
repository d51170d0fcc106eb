/* SPDX-License-Identifier: MIT
 *
 * embed_probe KIND OPTIONS: add a sink to a pipeline, and say what is wrong with it.
 */
#include <stdio.h>

#include <crier/crier.h>

int main(int argc, char **argv)
{
    struct crier_err err = {0};
    struct crier_pipeline *p = crier_pipeline_new(NULL, &err);
    if (!p || argc != 3)
        return 2;
    int rc = crier_pipeline_sink(p, argv[1], argv[2], &err);
    if (rc != 0)
        printf("%s\n%s\n", err.where, err.text);
    crier_pipeline_free(p);
    return rc != 0;
}

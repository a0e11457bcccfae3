"""The paper's method, one idea a file: templates, H(q,a,K), P(z|q), P(a|q,z), the loss, Algorithm 1."""

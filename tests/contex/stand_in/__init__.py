"""The Contex stand-in: a small service that uses Redis as Contex does and is wired as Contex is, by
environment.

It is not Contex. It exists so that an installation can be tried where Contex's own image is not to be had:
the same variables, the same two endpoints that write and read, the same health endpoints, the same line in
the log. Unlike Contex it says after a failed write whether the write may have happened, so that a test can
count. Its client is contex_redis; with CONTEX_CLIENT=published it is redis-py exactly as Contex uses it.
"""

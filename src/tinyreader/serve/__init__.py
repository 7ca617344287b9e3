"""A reader as a service: HTTP in front, engine workers behind, the windows of many requests computed
together.

settings   what can be set, by flag, environment or TOML
worker     a child process: windows in, logits out
fair_queue which windows are computed next
pool       the workers, started, fed and replaced, and the queue they share
runtime    the pool as a reader's runtime: each request waits for its own windows
convert    a file into text, in a child process
converter  those children: few at a time, none for long
cost       what a request takes to read, before it is begun
service    requests become readings, in threads
schema     what requests and answers look like
problems   refusals, as application/problem+json
border     what a request passes before it is looked at
app        the routes
run        the process: sockets, signals, logs
"""

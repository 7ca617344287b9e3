"""A reader as a service: HTTP in front, engine workers behind, the windows of many requests computed together.

run         the process: sockets, signals, logs
settings    what can be set, by flag, environment or TOML
timeouts    connections that stall are closed
middleware  what every request passes before it reaches a route
app         the routes
schema      what requests and answers look like
problems    refusals, as application/problem+json
limits      what is refused before work is spent on it
service     requests become readings, in threads
runtime     the pool as a reader's runtime: each request waits for its own windows
pool        the workers, started, fed and replaced, and the queue they share
fair_queue  which windows are computed next
worker      a child process: windows in, logits out
converter   files become text, a few at a time, in child processes
convert     such a child process
indexer     keeps a served folder's index up to date
"""

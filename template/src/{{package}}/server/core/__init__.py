"""What happens to a call, whatever transport it arrived on: nothing here imports gRPC or HTTP.

A call goes through admission (`admission`), decoding with checks (`decoding`), the queue and the model's thread with
encoding and its checks (`model_thread`), to its outcome (`outcomes`) and its line in the log (`calls`). In between
nothing waits (`exchanges`), so that any thread can bring requests; transports on the event loop wait in `calls`.
"""

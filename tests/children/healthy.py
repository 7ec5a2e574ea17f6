"""A web process that is asked for its health: the file ``health`` has the status that it answers with, if it is there.

An empty file: it keeps whoever asks waiting. Whoever asks is told of on stdout.
"""

import http.server
import os
import time


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(f"asked for {self.path}", flush=True)
        said = "200"
        if os.path.exists("health"):
            with open("health") as file:
                said = file.read().strip()
        while not said:
            time.sleep(60)
        self.send_response(int(said))
        self.end_headers()

    def log_message(self, *words):
        return


print("begun", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()

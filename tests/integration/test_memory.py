"""Memory stays within its budget whatever comes, and who stands still hinders nobody."""

from __future__ import annotations

import select
import signal
import subprocess
import time

from trove_test import KIB, MIB, SANITIZE, TroveTest, content, main, run_together, say, wait_for

CONFIG = """\
memory: 8MiB
store_memory: 8MiB
pool:
  credit_expiry: 100ms
"""
CLIENTS = 24
SIZE = (4 if SANITIZE else 20) * MIB
# Beyond the budget: the process itself, the store's caches, and what a connection costs (staging, its streams).
BOUND = 8 * MIB + 64 * MIB + CLIENTS * MIB


class MemoryTest(TroveTest):
    def setUp(self) -> None:
        super().setUp()
        self.start_server(schemes=("ipc", "tcp"), config=CONFIG)
        self.trove("mb", "bucket")

    def tearDown(self) -> None:
        self.server.stop()

    def check_memory(self) -> None:
        self.wait_until_idle()
        used = self.server.memory_high_water()
        say(f"troved has used {used // KIB} KiB at most")
        if not SANITIZE:
            self.assertLess(used, BOUND)

    def test_many_puts_and_gets_at_once(self) -> None:
        contents = [content(f"client-{index}", SIZE + index) for index in range(CLIENTS)]

        def put(index: int) -> None:
            url = self.server.url("tcp" if index % 2 else "ipc")
            self.trove("put", "-", f"bucket/{index}", data=contents[index], server=url, timeout_s=300)

        def get(index: int) -> None:
            url = self.server.url("ipc" if index % 2 else "tcp")
            got = self.trove("cat", f"bucket/{index}", server=url, timeout_s=300).out
            self.check_content(got, contents[index], f"object {index}")

        run_together([lambda index=index: put(index) for index in range(CLIENTS)])
        self.check_memory()
        run_together([lambda index=index: get(index) for index in range(CLIENTS)])
        self.check_memory()
        both = [lambda index=index: (put if index % 2 else get)(index) for index in range(CLIENTS)]
        run_together(both)
        self.check_memory()
        self.check_store("bucket")

    def others_go_on(self) -> None:
        """More at once than the budget has room for."""

        def transfer(index: int) -> None:
            data = content(f"other-{index}", 5 * MIB + index)
            self.trove("put", "-", f"bucket/other-{index}", data=data)
            self.check_content(self.trove("cat", f"bucket/other-{index}").out, data, f"object {index}")

        began = time.monotonic()
        run_together([lambda index=index: transfer(index) for index in range(8)])
        say(f"the others took {time.monotonic() - began:.1f} s")

    def test_a_put_that_is_stopped_hinders_nobody(self) -> None:
        data = content("stopped", 12 * MIB)
        stopped = self.start_trove("put", "-", "bucket/stopped", stdin=subprocess.PIPE)
        assert stopped.stdin is not None
        stopped.stdin.write(data[: 6 * MIB])
        stopped.stdin.flush()
        stopped.send_signal(signal.SIGSTOP)
        self.others_go_on()
        stopped.send_signal(signal.SIGCONT)
        self.finish(stopped, data=data[6 * MIB :])
        self.check_content(self.trove("cat", "bucket/stopped").out, data, "what went on")
        self.check_memory()

    def test_puts_that_wait_for_their_input_hinder_nobody(self) -> None:
        """They have asked for credit and don't use it."""
        waiting = []
        for index in range(CLIENTS):
            process = self.start_trove("put", "-", f"bucket/waiting-{index}", stdin=subprocess.PIPE)
            assert process.stdin is not None
            process.stdin.write(bytes(100 * KIB))
            process.stdin.flush()
            waiting.append(process)
        wait_for(lambda: self.ping()["streams_active"] == CLIENTS, "all uploads are open")
        self.others_go_on()
        for process in waiting:
            self.finish(process)
        self.check_memory()

    def stop_gets(self, count: int, size: int) -> None:
        """Downloads of programs that stand still altogether."""
        data = content("slow", size)
        self.trove("put", "-", "bucket/slow", data=data)
        stopped = [self.start_trove("get", "bucket/slow", "-") for _ in range(count)]
        for process in stopped:
            assert process.stdout is not None
            wait_for(lambda: self.readable(process), "the first bytes of the object")
            process.send_signal(signal.SIGSTOP)
        self.others_go_on()
        for process in stopped:
            process.send_signal(signal.SIGCONT)
        for process in stopped:
            self.check_content(self.finish(process).out, data, "what went on")
        self.check_memory()

    def leave_gets_unread(self, count: int, size: int) -> None:
        """Downloads into pipes that nobody reads; half of them die so, half go on."""
        data = content("unread", size)
        self.trove("put", "-", "bucket/unread", data=data)
        unread = [self.start_trove("get", "bucket/unread", "-") for _ in range(count)]
        for process in unread:
            wait_for(lambda: self.readable(process), "the first bytes of the object")
        self.others_go_on()
        for process in unread[::2]:
            process.kill()
        for process in unread[1::2]:
            self.check_content(self.finish(process).out, data, "what went on")
        self.check_memory()

    def test_gets_that_stand_still_hold_no_memory(self) -> None:
        """Not even where nobody else waits for it; their credit ends inside a block."""
        data = content("still", 12 * MIB)
        self.trove("put", "-", "bucket/still", data=data)
        still = [self.start_trove("get", "--chunk-size", "100KiB", "bucket/still", "-") for _ in range(4)]
        for process in still:
            wait_for(lambda: self.readable(process), "the first bytes of the object")
        wait_for(lambda: self.ping()["memory_in_use_bytes"] == 0, "the memory is given back")
        self.assertEqual(self.ping()["streams_active"], len(still))
        for process in still:
            self.check_content(self.finish(process).out, data, "what went on")

    def readable(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.stdout is not None
        return bool(select.select([process.stdout], [], [], 0)[0])

    def test_gets_that_are_stopped_hinder_nobody(self) -> None:
        self.stop_gets(2, 3 * MIB)

    def test_gets_whose_output_nobody_reads_hinder_nobody(self) -> None:
        self.leave_gets_unread(2, 3 * MIB)

    def test_stopped_gets_of_more_than_the_budget_hinder_nobody(self) -> None:
        self.stop_gets(6, 12 * MIB)

    def test_unread_gets_of_more_than_the_budget_hinder_nobody(self) -> None:
        self.leave_gets_unread(CLIENTS, 12 * MIB)

    def test_clients_that_are_killed_leave_nothing(self) -> None:
        """Of uploads that aren't resumable, that is: others wait for somebody to go on with them."""
        for _ in range(3):
            killed = []
            for index in range(8):
                process = self.start_trove("put", "--no-resume", "-", f"bucket/killed-{index}", stdin=subprocess.PIPE)
                assert process.stdin is not None
                process.stdin.write(bytes(2 * MIB))
                process.stdin.flush()
                killed.append(process)
            wait_for(lambda: self.ping()["streams_active"] == len(killed), "all uploads are open")
            for process in killed:
                process.kill()
            self.check_memory()
        self.assertEqual(self.keys("bucket"), [])
        self.check_store("bucket")


if __name__ == "__main__":
    main()

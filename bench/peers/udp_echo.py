"""A UDP echo loop.  Usage: udp_echo.py PORT [upper]"""
import socket
import sys

upper = "upper" in sys.argv[2:]
port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    data, peer = port.recvfrom(65536)
    port.sendto(data.upper() if upper else data, peer)

"""Calls between real phones in a network namespace of their own, recorded by dumpcap."""

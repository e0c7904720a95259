"""peerboot: brings a clustered server up in a StatefulSet, and says why.

Read the stages in the order in which data flows:
settings, identity, discovery, peers, census, assess, decide, plan, act, report.
"""

__version__ = "0.1.0.dev0"

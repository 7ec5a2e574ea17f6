"""What runs dynos for the platform: the ``Runtime`` protocol, and ``local``, which drives this host's supervisors.

Here live the ways from a plan to running dynos; never what an app or a release is, which is the platform's business.
"""
